"""Guards of data sets: rows, files, splits, what identifies a question."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
