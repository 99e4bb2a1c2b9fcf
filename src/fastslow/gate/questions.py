"""Choose the questions of a gate: fresh ones of a generator, or those of a file that nobody trained or selected on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastslow.bundles.bundle import open_task, tasks_of
from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.tasks.base import Task
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.splits import SPLITS, identity
from fastslow.tasks.task_set import spelled_once

PROBES = 32
"""Training questions that are drawn as well: an engine computes what prompts share from a few of them."""

SEEDS = 10**9


@dataclass(frozen=True)
class Questions:
    """The questions of one task. `seed` is the generator's data seed; None where another seed gives no other ones.
    `left_out` counts those that were left out because a bundle trained or selected on them. `all`: the task is known to
    have no others."""

    task: Task
    examples: tuple[Example, ...]
    seed: int | None
    left_out: int = 0
    all: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the questions, in whatever order."""
        texts = sorted(identity(example.messages) for example in self.examples)
        return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def choose_questions(
    name: str, most: int, seed: int, bundles: Sequence[Mapping[str, Any]], *, trusted: Callable[[str], bool]
) -> Questions:
    """Return up to `most` questions of a task that no bundle has met.

    A generator is asked with a data seed derived from `seed`. Its test split is a fixed fifth of all its questions,
    apart from those of training and selection under any seed. Questions that no seed changes are those of a file: of
    a file that a bundle was trained on, the test split of that run, of any other file all.

    Args:
        name: of a task; whoever wrote the policy trusts what the name imports.
        most: questions.
        seed: of the gate.
        bundles: the settings of the runs that made the bundles.
        trusted: whether code that a bundle's task of this name imports may run.

    Raises BadInput for a task that cannot be made, and where no question is left.
    """
    with _without_advice():
        data_seed = derive_seed(seed, "questions", spelled_once(name)) % SEEDS
        sizes = {"train_size": PROBES, "validation_size": 0, "test_size": most}
        task = resolve_task(name, **sizes, data_seed=data_seed)
        examples = tuple(task.split("test"))[:most]
        others = resolve_task(name, **sizes, data_seed=data_seed + 1).split("test")
        if {e.id for e in others[:most]} != {e.id for e in examples}:
            return Questions(task, examples, data_seed)
        task, examples = _of_a_file(name, bundles)
        met = _met(bundles, trusted)
    unmet = [example for example in examples if identity(example.messages) not in met]
    if not unmet:
        raise BadInput(
            f"task '{name}' has no question left for the gate: all were trained or selected on; give other questions."
        )
    return Questions(task, tuple(unmet[:most]), None, left_out=len(examples) - len(unmet), all=len(unmet) <= most)


def _of_a_file(name: str, bundles: Sequence[Mapping[str, Any]]) -> tuple[Task, tuple[Example, ...]]:
    """Return the test split that the run of a bundle had of this task, or all questions where no run had the task."""
    for settings in bundles:
        if spelled_once(name) in map(spelled_once, tasks_of(settings)):
            of_run = ("train_size", "validation_size", "test_size", "data_seed")
            task = resolve_task(name, **{key: settings[key] for key in of_run})
            return task, tuple(task.split("test"))
    task = resolve_task(name)
    return task, tuple(example for split in reversed(SPLITS) for example in task.split(split))


def _met(bundles: Iterable[Mapping[str, Any]], trusted: Callable[[str], bool]) -> set[str]:
    """Return the identity of every question that a run was trained or selected on."""
    met: set[str] = set()
    for settings in bundles:
        for name in tasks_of(settings):
            task = open_task(name, settings, trusted=trusted(name))
            met |= {identity(e.messages) for split in ("train", "validation") for e in task.split(split)}
    return met


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence warnings about sizes that a source cannot fill: a verdict says how many questions there were."""
    logger = logging.getLogger("fastslow.tasks")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
