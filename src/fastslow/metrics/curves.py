"""Compare two learning curves: how much sooner one of them reaches the level at which the other ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastslow.metrics.bootstrap import resampled
from fastslow.metrics.intervals import NOT_NEGATIVE
from fastslow.metrics.seeds import over_seeds


@dataclass(frozen=True)
class Curve:
    """The validation accuracy of one run. `x` is what was spent up to each evaluation (steps, rollouts, tokens,
    seconds, money), `steps` the optimiser steps at which the accuracy was measured: evaluations of several seeds meet
    there.

    All three sequences are in the order of the steps; `of` leaves out points without a number.
    """

    steps: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]

    @classmethod
    def of(cls, points: Iterable[tuple[int, float | None, float | None]]) -> Curve:
        """Make a curve from `(step, x, y)`; points with None or NaN in either number are left out."""
        known = [(s, x, y) for s, x, y in points if x is not None and y is not None and math.isfinite(x + y)]
        known.sort(key=lambda point: point[0])
        steps, xs, ys = zip(*known, strict=True) if known else ((), (), ())
        return cls(tuple(steps), tuple(map(float, xs)), tuple(map(float, ys)))

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Efficiency:
    """`ratio` is what the reference spent until its best accuracy, over what the other spent until it was as good:
    above 1, the other needs less. None: the other never was as good.

    `low` and `high` bound it over seeds (None with fewer than two seeds on a side), with 0 where the other may not get
    there; `reached` is the share of resamples of the seeds in which it did.
    """

    target: float
    reference_x: float
    other_x: float | None
    ratio: float | None
    low: float | None = None
    high: float | None = None
    reached: float | None = None


def reach(curve: Curve, threshold: float) -> float | None:
    """Return what was spent when the running maximum first came to `threshold`; None if it never did.

    Only measured points count: between two evaluations nothing is known.
    """
    return next((x for x, y in zip(curve.x, curve.y, strict=True) if y >= threshold), None)


def area_under(curve: Curve) -> float | None:
    """Return the mean accuracy over the span of `x`, by trapezoids: the area divided by the span. None below two
    points."""
    span = curve.x[-1] - curve.x[0] if len(curve) > 1 else 0.0
    return float(np.trapezoid(curve.y, curve.x) / span) if span > 0 else None


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Average over seeds at the steps at which every seed was measured."""
    common = set.intersection(*(set(c.steps) for c in curves)) if curves else set()
    points = [{s: (x, y) for s, x, y in zip(c.steps, c.x, c.y, strict=True)} for c in curves]
    n = len(curves)  # plain sums: numpy's mean of three numbers costs more than the rest of a bootstrap
    return Curve.of((s, sum(p[s][0] for p in points) / n, sum(p[s][1] for p in points) / n) for s in sorted(common))


def efficiency(reference: Sequence[Curve], other: Sequence[Curve], *, seed: int = 0) -> Efficiency | None:
    """Compare the reference's mean curve with the other's, with its interval over seeds.

    None where either side has no step at which all its seeds were measured. A level reached at no cost (x = 0) gives
    infinity.
    """
    estimate = _compare(mean_curve(reference), mean_curve(other))
    if estimate is None or min(len(reference), len(other)) < 2:
        return estimate

    def ratio(a: Sequence[Curve], b: Sequence[Curve]) -> float:
        once = _compare(mean_curve(a), mean_curve(b))
        return 0.0 if once is None or once.ratio is None else once.ratio

    ratios = resampled(ratio, reference, other, seed=seed)
    sure = over_seeds(
        lambda a, b: {"ratio": ratio(a, b)}, reference, other, within={"ratio": NOT_NEGATIVE}, ratios=("ratio",)
    )
    low, high = sure.get("ratio", (None, None))
    return Efficiency(
        estimate.target, estimate.reference_x, estimate.other_x, estimate.ratio,
        low=low, high=high, reached=float(np.mean(np.array(ratios) > 0)),
    )  # fmt: skip


def _compare(reference: Curve, other: Curve) -> Efficiency | None:
    if not len(reference) or not len(other):
        return None
    target = max(reference.y)
    reference_x, other_x = reach(reference, target), reach(other, target)
    assert reference_x is not None
    if other_x is None:
        return Efficiency(target, reference_x, None, None)
    return Efficiency(target, reference_x, other_x, reference_x / other_x if other_x > 0 else math.inf)
