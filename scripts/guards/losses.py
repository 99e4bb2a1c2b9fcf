"""Guards of the loss and of the statistics."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
