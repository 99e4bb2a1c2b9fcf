"""Curves over seeds: the mean, and the interval that is shaded around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastslow.contexts.context import Context
from fastslow.metrics.intervals import NOT_NEGATIVE, SHARE, Interval, mean_intervals
from fastslow.report.questions.compare import Arm
from fastslow.report.questions.contexts import characters
from fastslow.report.reading.data import AXES, RunData

# Per-step quantities are noisy at this size of batch; averaged into this many bins they are readable, and the page
# stays small.
BINS = 60

# Quantities of slow and fast lines of metrics, each with the chart that shows it.
SLOW = {
    "reward": "reward",
    "entropy": "entropy",
    "frac_reward_zero_std": "flat",
    "completions/mean_length": "length",
}
FAST = {
    "fst/fast/frontier_size": "frontier",
    "fst/fast/lead_anchor_score": "lead_score",
    "fst/fast/metric_calls": "metric_calls",
}


@dataclass(frozen=True)
class Sample:
    """One point of one run: samples of several seeds with equal `key` belong together."""

    key: tuple[int, int]
    spent: Mapping[str, float | None]
    y: float


@dataclass(frozen=True)
class Band:
    """The mean over seeds and its 95% interval, where every seed has a point."""

    steps: list[int]
    spent: dict[str, list[float | None]]
    y: list[float]
    low: list[float]
    high: list[float]
    seeds: int


def evaluated(run: RunData, quantity: str, context: str, task: str = "") -> list[Sample]:
    """Return the points of evaluations. The context 'shipped' is the one that the mode of the run ships."""
    name = run.shipped(quantity) if context == "shipped" else context
    samples = []
    for point in run.evaluations:
        value = point.values.get((task, name, quantity))
        if value is not None:
            samples.append(Sample((point.step, point.turn), point.spent, value))
    return samples


def along(run: RunData, phase: str, name: str) -> list[Sample]:
    """Return the points of the slow steps or fast phases, averaged where there are more than BINS of them."""
    samples, turn = [], 0
    for row in run.metrics:
        value = row.numbers.get(name)
        if row.phase == phase and row.step is not None and value is not None:
            turn = turn + 1 if samples and samples[-1].key[0] == row.step else 0
            samples.append(Sample((row.step, turn), row.spent, value))
    return _binned(samples)


def acceptance(run: RunData) -> list[Sample]:
    """Return the share of the proposals of each fast phase that were accepted."""
    samples = []
    for row in run.metrics:
        proposed, accepted = (row.numbers.get(f"fst/fast/{name}") for name in ("proposals", "accepted"))
        if row.phase == "fast" and row.step is not None and proposed and accepted is not None:
            samples.append(Sample((row.step, len(samples)), row.spent, accepted / proposed))
    return _binned(samples)


def context_lengths(run: RunData) -> list[Sample]:
    """Return the mean length in characters of the contexts that each fast phase accepted, as `fastslow contexts` counts
    them; contexts that cannot be read and soft ones are left out."""
    lengths: dict[int, list[int]] = {}
    for row in run.contexts:
        if row.step is not None and row.accepted and (size := _characters(row.components)):
            lengths.setdefault(row.step, []).append(size)
    spent = {row.step: row.spent for row in run.metrics if row.phase == "fast"}
    nothing: dict[str, float | None] = dict.fromkeys(AXES, None)
    return _binned(
        [
            Sample((step, 0), spent.get(step, {**nothing, "steps": float(step)}), sum(sizes) / len(sizes))
            for step, sizes in sorted(lengths.items())
        ]
    )


def _characters(components: Mapping[str, Any]) -> int:
    try:
        return characters(Context({name: part for name, part in components.items() if isinstance(part, str)}))
    except ValueError:
        return 0


def band(samples: Sequence[Sequence[Sample]], within: Interval = NOT_NEGATIVE) -> Band | None:
    """Average over seeds, where every seed that has any point has one. None without a point. `within` holds the values
    that the quantity can have."""
    by_key = [{sample.key: sample for sample in one} for one in samples if one]
    common = sorted(set.intersection(*(set(one) for one in by_key))) if by_key else []
    if not common:
        return None
    y_S_P = np.array([[one[key].y for key in common] for one in by_key])
    low_P, high_P = mean_intervals(y_S_P, within)
    spent: dict[str, list[float | None]] = {}
    for axis in AXES:
        spent[axis] = [_mean([one[key].spent.get(axis) for one in by_key]) for key in common]
    return Band(
        [step for step, _ in common], spent, y_S_P.mean(axis=0).tolist(), low_P.tolist(), high_P.tolist(), len(by_key)
    )


def bands_of(arm: Arm, quantity: str, context: str = "shipped", task: str = "") -> Band | None:
    share = quantity in ("accuracy", "best", "fully_right")
    return band([evaluated(run, quantity, context, task) for run in arm.runs], SHARE if share else NOT_NEGATIVE)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) and known else None


def _binned(samples: list[Sample]) -> list[Sample]:
    if len(samples) <= BINS:
        return samples
    # Bins follow from the steps, not from the number of lines, so that the bins of several seeds coincide.
    width = -(-(samples[-1].key[0] + 1) // BINS)
    bins: dict[int, list[Sample]] = {}
    for sample in samples:
        bins.setdefault(sample.key[0] // width, []).append(sample)
    return [
        Sample(
            ((at + 1) * width, 0),
            {axis: _mean([s.spent.get(axis) for s in members]) for axis in AXES},
            _average(members),
        )
        for at, members in bins.items()
    ]


def _average(samples: Sequence[Sample]) -> float:
    return sum(sample.y for sample in samples) / len(samples)
