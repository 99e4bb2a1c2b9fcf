"""Join several tasks to one, for runs that learn one after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks.base import Task
from fastslow.tasks.episodes import Episode, begin
from fastslow.tasks.names import with_paths
from fastslow.tasks.own import own_task
from fastslow.tasks.spec import format_spec, parse_spec

LOOKED_AT = 32
"""Training examples of a task that tell whether it is an environment."""


class TaskSet:
    """Join tasks: a split holds the examples of all tasks in their order, and each task scores its own examples.

    Examples carry the name of their task, and ids that no two tasks share: ids of the first task begin with `first`.
    Raises BadInput for a task given twice.
    """

    def __init__(self, tasks: Sequence[Task], *, first: int = 0):
        names = [task.name for task in tasks]
        places = [spelled_once(name) for name in names]
        twice = next((i for i, place in enumerate(places) if place in places[:i]), None)
        if twice is not None:
            before = names[places.index(places[twice])]
            again = f", the other time as '{before}'" if before != names[twice] else ""
            raise BadInput(f"task '{names[twice]}' is given twice{again}; name every task once.")
        self.name = " + ".join(names)
        self.tasks = {task.name: own_task(task) for task in tasks}
        self._first = first
        self._splits: dict[Split, tuple[Example, ...]] = {}
        self._own: dict[str, Example] = {}

    def split(self, name: Split) -> Sequence[Example]:
        if name not in self._splits:
            self._splits[name] = tuple(
                self._named(number, task_name, example)
                for number, (task_name, task) in enumerate(self.tasks.items(), start=self._first)
                for example in task.split(name)
            )
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        return self.tasks[example.task].score(self._own[example.id], completion)

    def episode(self, example: Example) -> Episode | None:
        """Return a new episode of an example; None where its task wants one answer."""
        return begin(self.tasks[example.task], self._own[example.id])

    @property
    def tools(self) -> list[Any]:
        """Return the tools of the tasks. Raises BadInput for tasks with different ones: a run has one chat template."""
        each = {name: list(getattr(task, "tools", None) or ()) for name, task in self.tasks.items()}
        first, *others = each
        other = next((name for name in others if each[name] != each[first]), None)
        if other is not None:
            raise BadInput(
                f"tasks '{first}' and '{other}' have different tools, and the chat template is given one list for all; "
                "describe them in the questions (EnvironmentTask(..., in_question=True))."
            )
        return each[first]

    def answer(self, example: Example) -> str | None:
        return self.tasks[example.task].answer(self._own[example.id])

    def stated_answer(self, example: Example) -> str | None:
        """Return the right answer in the data of the example's task; None where that task does not tell."""
        stated = getattr(self.tasks[example.task], "stated_answer", None)
        return None if stated is None else stated(self._own[example.id])

    def _named(self, number: int, task_name: str, example: Example) -> Example:
        named = replace(example, id=f"{number}.{example.id}", task=task_name)
        self._own[named.id] = example
        return named


def spelled_once(name: str) -> str:
    """Return one name for all spellings of a task: parameters in order, and files by their real paths."""
    spec = parse_spec(with_paths(name, _real))
    return format_spec(spec.head, spec.params)


def _real(path: str) -> str:
    file = os.path.expanduser(path)
    return os.path.realpath(file) if os.path.exists(file) else path


def by_task(task: Task, examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Group examples by the tasks of a set, in their order; all examples of a single task stand under its name."""
    if not isinstance(task, TaskSet):
        return {task.name: list(examples)}
    return {name: [e for e in examples if e.task == name] for name in task.tasks}


def refuse_environments(task: Task, why: str) -> None:
    """Raise BadInput naming a task of a set that has episodes among its first training examples; `why` says in a few
    words what goes by single answers."""
    for name, examples in by_task(task, task.split("train")).items():
        try:
            plays = any(begin(task, example) is not None for example in examples[:LOOKED_AT])
        except foreign.Failed:
            plays = True
        if plays:
            raise BadInput(f"task '{name}' is an environment of several turns, and {why}.")
