"""Define what a schedule is, the registry of schedules, and the stream that follows a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol

from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.registry import Registry
from fastslow.core.types import Example
from fastslow.streams.epochs import EpochStream
from fastslow.tasks.own import copied

SEQUENCE = "sequence"
"""Schedule of several tasks where the settings name none: one after another."""


def has_stages(spec: str) -> bool:
    """Return whether each task has one stage of its own, in the order of the tasks."""
    return (spec or SEQUENCE).partition(":")[0] in (SEQUENCE, "overlap")


@dataclass(frozen=True)
class Setting:
    """Hold what a schedule may depend on: the number of tasks, the steps for each task, B examples a step, the run's
    seed."""

    tasks: int
    stage_steps: int
    batch_size: int
    seed: int


class Schedule(Protocol):
    """Decide from which task each place of a batch comes: a pure function of step and slot."""

    steps: int
    """Number of steps of a run on this schedule."""

    def place(self, step: int, slot: int) -> tuple[int, int]:
        """Return (task, position in that task's order of examples), both from 0, also for steps beyond `steps`."""
        ...

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        """Return the examples from which each task's places are filled; by default the task's own."""
        ...


STREAMS: Registry[Schedule] = Registry("stream")


def make_schedule(spec: str, setting: Setting) -> Schedule:
    """Make the schedule of `name` or `name:arguments`. A dotted path, also with `:arguments`, names a factory of the
    user's, which is called with `(arguments, setting)`.

    Raises BadInput for an unknown name, for arguments that the schedule does not take, and for an object that is not a
    schedule.
    """
    factory, arguments = STREAMS.resolve(spec or SEQUENCE)

    def made() -> Schedule:
        try:
            return CheckedSchedule(spec, factory(arguments, setting), setting)
        except BadInput as error:
            raise BadInput(f"stream '{spec}': {error}") from None

    return STREAMS.make(spec, made)


class CheckedSchedule:
    """Check every answer of a schedule, which may be a user's, against the protocol `Schedule`.

    Raises BadInput for a violation that shows before the first batch, and FastSlowError for a later one. Whole numbers
    may be of any integral type.
    """

    def __init__(self, spec: str, schedule: Schedule, setting: Setting):
        self._spec = spec
        self._schedule = schedule
        self._tasks = setting.tasks
        missing = [name for name in ("steps", "place", "pools") if not hasattr(schedule, name)]
        if missing:
            raise BadInput(f"it lacks {', '.join(missing)}; see fastslow.streams.Schedule.")
        steps = schedule.steps
        if not _whole(steps) or steps < 1:
            raise BadInput(f"its steps must be a whole number, at least 1, got {steps!r:.80}.")
        self.steps = int(steps)
        try:
            self.place(0, 0)
        except FastSlowError as error:
            raise BadInput(str(error).partition(": ")[2]) from error.__cause__

    def place(self, step: int, slot: int) -> tuple[int, int]:
        where = f"stream '{self._spec}': place(step={step}, slot={slot})"
        try:
            place = foreign.call(self._schedule.place, step, slot, who=f"stream '{self._spec}'")
        except foreign.Failed as fault:
            raise FastSlowError(f"{where} raised {fault}.") from fault
        if not isinstance(place, (tuple, list)) or len(place) != 2 or not all(_whole(number) for number in place):
            raise FastSlowError(f"{where} must return two whole numbers, (task, position), got {place!r:.80}.")
        task, position = map(int, place)
        if not 0 <= task < self._tasks or position < 0:
            raise FastSlowError(
                f"{where} returned {(task, position)}; there are tasks 0 to {self._tasks - 1}, and positions from 0 on."
            )
        return task, position

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        keep = (lambda example: example) if foreign.ours(self._schedule) else copied
        given = [list(map(keep, task)) for task in tasks]  # a schedule may shuffle, empty or change what it is given
        try:
            pools = foreign.call(lambda: [list(p) for p in self._schedule.pools(given)], who=f"stream '{self._spec}'")
        except foreign.Failed as fault:
            raise BadInput(f"stream '{self._spec}': its pools raised {fault}.") from fault
        if len(pools) != len(tasks) or not all(pools):
            sizes = ", ".join(str(len(pool)) for pool in pools) or "no pools"
            raise BadInput(
                f"stream '{self._spec}': its pools must be one for each of the {len(tasks)} tasks, none of them empty; "
                f"they hold {sizes}."
            )
        wrong = next((e for pool in pools for e in pool if not isinstance(e, Example)), None)
        if wrong is not None:
            raise BadInput(f"stream '{self._spec}': its pools hold a {type(wrong).__name__}, not an Example.")
        return pools


def _whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


class ScheduledStream:
    """Stream the examples of several tasks in the order of a schedule; each task's own order is in shuffled epochs.

    Args:
        schedule: decides which task comes when.
        tasks: the training examples of each task, none empty.
        setting: the setting that the schedule was made with.
    """

    def __init__(self, schedule: Schedule, tasks: Sequence[Sequence[Example]], setting: Setting):
        self._schedule = schedule
        self._batch_size = setting.batch_size
        self._pools = [
            EpochStream(pool, batch_size=setting.batch_size, seed=setting.seed) for pool in schedule.pools(tasks)
        ]

    def batch(self, step: int) -> list[Example]:
        """Return the B examples of step `step`, counted from 0. A batch that spans two epochs may hold an example
        twice."""
        places = [self._schedule.place(step, slot) for slot in range(self._batch_size)]
        return [self._pools[task].at(position) for task, position in places]
