"""Runs over several tasks without stages of their own: what each arm knows at the end, and what it forgot."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from ..metrics import over_seeds
from ..metrics.streams import Difference, StreamEnd, measure_stream, paired_difference
from .compare import Arm, Comparison
from .data import RunData


@dataclass(frozen=True)
class StreamArm:
    """`ends`: seed -> what is left at the end, under the context the arm ships."""

    label: str
    ends: dict[str, StreamEnd]

    @property
    def average(self) -> float:
        return mean(end.average for end in self.ends.values())

    def less(self, other: StreamArm, *, share: float = 1.0) -> Difference | None:
        """Its averages minus `share` of the other's, paired by seed; None where they have no seed in common."""
        theirs = {seed: share * end.average for seed, end in other.ends.items()}
        return paired_difference({seed: end.average for seed, end in self.ends.items()}, theirs)

    def forgotten(self) -> float | None:
        """Mean over learned tasks and seeds; None where nothing was learned."""
        found = [share for end in self.ends.values() for share in end.forgotten.values()]
        return mean(found) if found else None

    def forgotten_interval(self) -> tuple[float, float] | None:
        """95% over seeds of `forgotten`, each seed being the mean over what it learned."""
        seeds = [mean(end.forgotten.values()) for end in self.ends.values() if end.forgotten]
        return over_seeds(lambda some: {"forgotten": mean(some)}, seeds).get("forgotten")

    def worst_forgotten(self) -> float | None:
        return max((share for end in self.ends.values() for share in end.forgotten.values()), default=None)


def stream_arms(comparison: Comparison) -> list[StreamArm]:
    """Empty unless the runs went over several tasks; arms of which nothing was measured are left out."""
    if len(comparison.tasks) < 2 or comparison.kind != "compare":
        return []
    ends = {arm.label: _ends(arm) for arm in comparison.arms}
    return [StreamArm(label, found) for label, found in ends.items() if found]


def _ends(arm: Arm) -> dict[str, StreamEnd]:
    """By seed; runs that lack an evaluation of a task are left out."""
    found = {}
    for run in arm.runs:
        end = _end(run)
        if end is not None:
            found[run.seed] = end
    return found


def _end(run: RunData) -> StreamEnd | None:
    curves = {task: list(run.curve(task=task).y) for task in run.tasks}
    start = next((point for point in run.evaluations if point.step == 0), None)
    base = {task: start.values.get((task, "seed", "accuracy")) if start else None for task in run.tasks}
    known = {task: value for task, value in base.items() if value is not None}
    if len(known) < len(run.tasks) or not all(curves.values()):
        return None
    return measure_stream(curves, known)
