"""Measure what is left of each task at the end of a stream in which tasks come back, mix or drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from fastslow.metrics.intervals import Estimate, mean_interval

RISEN = 0.1
"""A task counts as learned where its accuracy rose by this much above the base: with some dozens of questions,
forgetting less than that cannot be told from chance."""


@dataclass(frozen=True)
class StreamEnd:
    """`average`: mean over tasks of the last accuracy. `forgotten`: for each learned task, the part of its peak that is
    gone at the end, (peak - last) / peak. The peak is a maximum of noisy numbers, so chance alone makes this part
    positive."""

    average: float
    forgotten: Mapping[str, float]


def measure_stream(accuracies: Mapping[str, Sequence[float]], base: Mapping[str, float]) -> StreamEnd:
    """Measure the end of a stream. `accuracies[task]` is in the order of the evaluations; `base[task]` is before the
    first step.

    Raises ValueError where a task has no evaluation or no base.
    """
    if not accuracies or any(not values or task not in base for task, values in accuracies.items()):
        raise ValueError("every task needs an evaluation and the base's accuracy")
    forgotten = {
        task: (max(values) - values[-1]) / max(values)
        for task, values in accuracies.items()
        if max(values) - base[task] >= RISEN
    }
    return StreamEnd(mean(values[-1] for values in accuracies.values()), forgotten)


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Estimate | None:
    """Estimate `ours` minus `theirs` over the seeds that both have; None without such a seed, no interval with one.

    The same seed means the same examples in the same order, so much of the noise is shared.
    """
    pairs = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return mean_interval(pairs)
