"""Guards of models, tokenizers, templates and generation configurations."""

from __future__ import annotations

from guards.base import Mutation

MUTATIONS: list[Mutation] = []
