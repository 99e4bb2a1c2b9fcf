"""Guards against what user code and language-model servers do."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
