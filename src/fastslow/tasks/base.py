"""Define the task protocol. Each task family has a file; `TASKS` is their registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastslow.core.registry import Registry
from fastslow.core.types import Example, Split, Verdict


class Task(Protocol):
    """Supply examples and score completions of them.

    `split` is deterministic, and the three splits are disjoint by content. `score` is pure and never raises for any
    completion text: what it cannot judge is `Verdict.unscored`. `answer` returns a completion verified to score 1.0, or
    None where the task has none; it is asked of training examples only.
    """

    name: str

    def split(self, name: Split) -> Sequence[Example]: ...

    def score(self, example: Example, completion: str) -> Verdict: ...

    def answer(self, example: Example) -> str | None: ...


TASKS: Registry[Task] = Registry("task")
