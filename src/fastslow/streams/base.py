"""What a schedule is, the registry of schedules, and the stream that follows one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import BadInput
from ..registry import Registry
from ..stream import EpochStream
from ..types import Example

SEQUENCE = "sequence"
"""What several tasks are without a word about their stream: one after another."""


def has_stages(spec: str) -> bool:
    """Whether each task has one stage of its own, in the order of the tasks."""
    return (spec or SEQUENCE).partition(":")[0] in (SEQUENCE, "overlap")


@dataclass(frozen=True)
class Setting:
    """What a schedule may depend on: how many tasks, steps for each of them, B examples a step, the run's seed."""

    tasks: int
    stage_steps: int
    batch_size: int
    seed: int


class Schedule(Protocol):
    """From which task each place of a batch comes: a pure function of step and slot."""

    steps: int
    """How long a run on it is."""

    def place(self, step: int, slot: int) -> tuple[int, int]:
        """(task, position in that task's order of examples), both from 0. Steps beyond `steps` have places too."""
        ...

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        """What each task's places are filled from; as a rule, its own examples."""
        ...


STREAMS: Registry[Schedule] = Registry("stream")


def make_schedule(spec: str, setting: Setting) -> Schedule:
    """`name` or `name:arguments` -> schedule. A dotted path names the user's own factory, called with
    `(arguments, setting)`.

    Raises BadInput for an unknown name or arguments that it does not take.
    """
    name, _, arguments = (spec or SEQUENCE).partition(":")
    if name not in STREAMS.names() and ("." in name or arguments.isidentifier()):
        name, arguments = spec, ""  # package.module.factory or module:factory
    factory = STREAMS.factory(name)
    try:
        return factory(arguments, setting)
    except BadInput as error:
        raise BadInput(f"stream '{spec}': {error}") from None


class ScheduledStream:
    """The examples of several tasks in the order of a schedule; each task's own order is in shuffled epochs.

    Args:
        schedule: which task comes when.
        tasks: the training examples of each task, none empty.
        setting: as the schedule was made with.
    """

    def __init__(self, schedule: Schedule, tasks: Sequence[Sequence[Example]], setting: Setting):
        self._schedule = schedule
        self._batch_size = setting.batch_size
        self._pools = [
            EpochStream(pool, batch_size=setting.batch_size, seed=setting.seed) for pool in schedule.pools(tasks)
        ]

    def batch(self, step: int) -> list[Example]:
        """The B examples of step `step`, counted from 0. A batch that spans two epochs may hold an example twice."""
        places = [self._schedule.place(step, slot) for slot in range(self._batch_size)]
        return [self._pools[task].at(position) for task, position in places]
