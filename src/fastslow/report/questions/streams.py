"""Runs over several tasks without stages: what each arm knows at the end, and what it forgot."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import Literal

from fastslow.metrics import Estimate, over_seeds
from fastslow.metrics.intervals import SHARE
from fastslow.metrics.streams import StreamEnd, measure_stream, paired_difference
from fastslow.report.questions.compare import Arm, Comparison, mean_or_none
from fastslow.report.reading.data import RunData


@dataclass(frozen=True)
class StreamArm:
    """One arm. `ends` maps a seed to the measures at the end, under the context that the arm ships; `runs` are the runs
    of these seeds."""

    label: str
    runs: list[RunData]
    ends: dict[str, StreamEnd]

    @property
    def average(self) -> float:
        return mean(end.average for end in self.ends.values())

    def less(self, other: StreamArm, *, share: float = 1.0) -> Estimate | None:
        """Estimate the arm's averages minus `share` of the other's, paired by seed; None without a common seed."""
        theirs = {seed: share * end.average for seed, end in other.ends.items()}
        return paired_difference({seed: end.average for seed, end in self.ends.items()}, theirs)

    @property
    def _forgotten_by_seed(self) -> list[float]:
        """Average each seed over the tasks that it learned; seeds that learned nothing are left out."""
        return [mean(end.forgotten.values()) for end in self.ends.values() if end.forgotten]

    def forgotten(self) -> float | None:
        """Return the mean over seeds, or None where nothing was learned."""
        return mean(self._forgotten_by_seed) if self._forgotten_by_seed else None

    def forgotten_interval(self) -> tuple[float, float] | None:
        """Return the 95% interval of `forgotten` over seeds."""
        seeds = self._forgotten_by_seed
        return over_seeds(lambda some: {"forgotten": mean(some)}, seeds, within={"forgotten": SHARE}).get("forgotten")

    def worst_forgotten(self) -> float | None:
        return max((share for end in self.ends.values() for share in end.forgotten.values()), default=None)

    def rate(self, channel: Literal["fast", "slow"]) -> float | None:
        """Return the share of the groups routed to this channel, over all steps and seeds; None in a mode without the
        channel."""
        runs = [run for run in self.runs if getattr(run.channels, channel)]
        shares = [row.numbers.get(f"fst/route/{channel}") for run in runs for row in run.metrics]
        return mean_or_none([share for share in shares if share is not None])

    def selection(self, name: Literal["right_topic", "gain"]) -> float | None:
        """Average a measure of the contexts chosen by the question, at the last evaluation, over tasks and seeds that
        have it.

        A task that no topic has met has none. None where no context was chosen.
        """
        chosen = [
            getattr(one.choice, name)
            for run in self.runs
            for one in run.evals
            if one.choice and (one.step, one.context, one.weights) == (run.steps, "cluster", "trained")
        ]
        return mean_or_none([value for value in chosen if value is not None])


def stream_arms(comparison: Comparison) -> list[StreamArm]:
    """Return the arms, without those of which nothing was measured; empty unless the runs went over several tasks."""
    if len(comparison.tasks) < 2 or comparison.kind != "compare":
        return []
    arms = [StreamArm(arm.label, arm.runs, _ends(arm)) for arm in comparison.arms]
    return [arm for arm in arms if arm.ends]


def _ends(arm: Arm) -> dict[str, StreamEnd]:
    """Measure the end of each run by its seed; runs that lack an evaluation of a task are left out."""
    ends = {}
    for run in arm.runs:
        end = _end(run)
        if end is not None:
            ends[run.seed] = end
    return ends


def _end(run: RunData) -> StreamEnd | None:
    curves = {task: list(run.curve(task=task).y) for task in run.tasks}
    start = next((point for point in run.evaluations if point.step == 0), None)
    base = {task: start.values.get((task, "seed", "accuracy")) if start else None for task in run.tasks}
    known = {task: value for task, value in base.items() if value is not None}
    if len(known) < len(run.tasks) or not all(curves.values()):
        return None
    return measure_stream(curves, known)
