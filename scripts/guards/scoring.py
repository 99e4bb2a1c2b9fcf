"""Guards of the scorers."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
