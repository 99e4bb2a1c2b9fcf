"""Guards of settings, recipes and the environment."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
