"""Define the task protocol. Each task family has a file; `TASKS` is their registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from fastslow.core.registry import Registry
from fastslow.core.types import Example, Split, Verdict


class Task(Protocol):
    """Supply examples and score completions of them.

    `split` is deterministic, and the three splits are disjoint by content. `score` is pure and never raises for any
    completion text: what it cannot judge is `Verdict.unscored`. `answer` returns a completion verified to score 1.0, or
    None where the task has none; it is asked of training examples only.

    An environment has a method `episode` as well (see `tasks.episodes`); its `answer` is a first turn that is worth
    showing.
    """

    name: str

    def split(self, name: Split) -> Sequence[Example]: ...

    def score(self, example: Example, completion: str) -> Verdict: ...

    def answer(self, example: Example) -> str | None: ...


def find_training(task: Task, ids: Iterable[str]) -> dict[str, Example]:
    """Return the training examples with these ids; what the task has not (any more) is left out.

    A task whose `split("train")` is only a part of what it trains on has a method `find(id)` for the rest.
    """
    known = {example.id: example for example in task.split("train")}
    elsewhere = getattr(task, "find", lambda _: None)
    found = ((id_, known.get(id_) or elsewhere(id_)) for id_ in ids)
    return {id_: example for id_, example in found if example is not None}


TASKS: Registry[Task] = Registry("task")
