"""What two learning curves say of each other: how much sooner one is where the other ends up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastslow.metrics.bootstrap import percentiles, resampled


@dataclass(frozen=True)
class Curve:
    """Validation accuracy of one run. `x` is what was spent up to each evaluation (steps, rollouts, tokens, seconds,
    money), `steps` the optimiser steps at which it was measured: evaluations of several seeds meet there.

    All three run in the order of the steps; points without a number are left out by `of`.
    """

    steps: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]

    @classmethod
    def of(cls, points: Iterable[tuple[int, float | None, float | None]]) -> Curve:
        """From `(step, x, y)`; points with None or NaN in either are left out."""
        kept = [(s, x, y) for s, x, y in points if x is not None and y is not None and math.isfinite(x + y)]
        kept.sort(key=lambda point: point[0])
        steps, xs, ys = zip(*kept, strict=True) if kept else ((), (), ())
        return cls(tuple(steps), tuple(map(float, xs)), tuple(map(float, ys)))

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Efficiency:
    """`ratio` is what the reference spent until its best accuracy, over what the other spent until it was as good:
    above 1, the other needs less. None: it never was as good.

    `low` and `high` bound it over resampled seeds (None with fewer than two seeds on a side), with 0 where the other
    did not get there; `reached` is the share of resamples in which it did.
    """

    target: float
    reference_x: float
    other_x: float | None
    ratio: float | None
    low: float | None = None
    high: float | None = None
    reached: float | None = None


def reach(curve: Curve, threshold: float) -> float | None:
    """What was spent when the running maximum first came to `threshold`; None if it never did.

    Only measured points count: between two evaluations nothing is known.
    """
    return next((x for x, y in zip(curve.x, curve.y, strict=True) if y >= threshold), None)


def area_under(curve: Curve) -> float | None:
    """Mean accuracy over the span of `x`, by trapezoids: the area divided by the span. None below two points."""
    span = curve.x[-1] - curve.x[0] if len(curve) > 1 else 0.0
    return float(np.trapezoid(curve.y, curve.x) / span) if span > 0 else None


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over seeds at the steps at which every one was measured."""
    common = set.intersection(*(set(c.steps) for c in curves)) if curves else set()
    points = [{s: (x, y) for s, x, y in zip(c.steps, c.x, c.y, strict=True)} for c in curves]
    n = len(curves)  # plain sums: numpy's mean of three numbers costs more than the rest of a bootstrap
    return Curve.of((s, sum(p[s][0] for p in points) / n, sum(p[s][1] for p in points) / n) for s in sorted(common))


def efficiency(reference: Sequence[Curve], other: Sequence[Curve], *, seed: int = 0) -> Efficiency | None:
    """The reference's mean curve against the other's, with a bootstrap interval over seeds.

    None where either has no step at which all its seeds were measured. Reached at no cost at all (x = 0) is a ratio
    of infinity.
    """
    found = _compare(mean_curve(reference), mean_curve(other))
    if found is None or min(len(reference), len(other)) < 2:
        return found

    def ratio(a: Sequence[Curve], b: Sequence[Curve]) -> float:
        once = _compare(mean_curve(a), mean_curve(b))
        return 0.0 if once is None or once.ratio is None else once.ratio

    ratios = resampled(ratio, reference, other, seed=seed)
    low, high = percentiles(ratios)
    return Efficiency(
        found.target, found.reference_x, found.other_x, found.ratio,
        low=float(low), high=float(high), reached=float(np.mean(np.array(ratios) > 0)),
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
