"""Choose the questions of a gate: fresh ones of a generator, or those of a file that nobody trained or selected on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastslow.bundles.bundle import tasks_of
from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.gate.met import Met
from fastslow.tasks.base import TASKS, Task
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.spec import parse_spec
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


def choose_questions(name: str, most: int, seed: int, met: Met) -> Questions:
    """Return up to `most` questions of a task that no bundle has met.

    A generator is asked with a data seed derived from `seed`. The test split of one of ours is a fixed fifth of all its
    questions, apart from those of training and selection under any seed; one of the user's may shuffle what is always
    the same, so that its questions are looked up. Questions that no seed changes are those of a file: of a file that a
    run was trained on, the test split of that run, of any other file all.

    Args:
        name: of a task; whoever wrote the policy trusts what the name imports.
        most: questions.
        seed: of the gate.
        met: what the bundles were trained or selected on.

    Raises BadInput for a task that cannot be made, and where no question is left.
    """
    with _without_advice():
        data_seed = derive_seed(seed, "questions", spelled_once(name)) % SEEDS
        sizes = {"train_size": PROBES, "validation_size": 0, "test_size": most}
        task = resolve_task(name, **sizes, data_seed=data_seed)
        examples = tuple(task.split("test"))[:most]
        others = resolve_task(name, **sizes, data_seed=data_seed + 1).split("test")
        generated = {e.id for e in others[:most]} != {e.id for e in examples}
        if not generated:
            task, examples = _of_a_file(name, met.runs)
        unmet = met.unmet(examples, apart=generated and parse_spec(name).family in TASKS.names())
    if not unmet:
        raise BadInput(
            f"task '{name}' has no question left for the gate: all were trained or selected on; give other questions."
        )
    left_out, seed_of = len(examples) - len(unmet), data_seed if generated else None
    return Questions(task, unmet[:most], seed_of, left_out, all=not generated and len(unmet) <= most)


def _of_a_file(name: str, runs: Sequence[Mapping[str, Any]]) -> tuple[Task, tuple[Example, ...]]:
    """Return the test split that a run had of this task, or all questions where no run had the task."""
    for settings in runs:
        if spelled_once(name) in map(spelled_once, tasks_of(settings)):
            of_run = ("train_size", "validation_size", "test_size", "data_seed")
            task = resolve_task(name, **{key: settings[key] for key in of_run})
            return task, tuple(task.split("test"))
    task = resolve_task(name)
    return task, tuple(example for split in reversed(SPLITS) for example in task.split(split))


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
