"""Fresh plain RL from several checkpoints: how much of the base's learning each checkpoint still achieves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastslow.metrics import Curve, Interval, area_under, over_seeds, reach
from fastslow.metrics.curves import mean_curve
from fastslow.metrics.intervals import NOT_NEGATIVE, SHARE
from fastslow.report.questions.compare import Comparison

STEPS = ("halfway", "top")
RATIOS = ("ratio", "end_ratio")
BOUNDS: dict[str, Any] = {
    "within": dict.fromkeys(("start", "best", "end", "area"), SHARE) | dict.fromkeys((*RATIOS, *STEPS), NOT_NEGATIVE),
    "ratios": RATIOS,
}


@dataclass(frozen=True)
class Area:
    """Of the mean curve over seeds: `area` is the mean accuracy along the way, `ratio` its share of the reference's,
    `end_ratio` that of the last accuracy, `halfway` and `top` the steps until the reference's halfway point and best
    accuracy. `sure` has the 95% intervals over seeds by the name of the field; infinity stands for not reached."""

    seeds: int
    start: float | None = None
    best: float | None = None
    end: float | None = None
    area: float | None = None
    ratio: float | None = None
    end_ratio: float | None = None
    halfway: float | None = None
    top: float | None = None
    sure: Mapping[str, Interval] = field(default_factory=dict)


def areas(comparison: Comparison) -> dict[str, Area]:
    """Return the measures of each arm by its label. Curves are cut where the shortest ends, so that all areas have the
    same span."""
    whole = {arm.label: mean_curve(arm.curves()) for arm in comparison.arms}
    shared = min((curve.steps[-1] for curve in whole.values() if len(curve)), default=0)
    curves = {arm.label: [_cut(curve, shared) for curve in arm.curves()] for arm in comparison.arms}
    reference = curves.get(comparison.reference_label, [])
    return {label: _area(of_arm, reference) for label, of_arm in curves.items()}


def _area(curves: list[Curve], reference: list[Curve]) -> Area:
    def bounded(ours: Sequence[Curve], theirs: Sequence[Curve]) -> dict[str, float | None]:
        numbers = _numbers(ours, theirs)
        reachable = numbers["best"] is not None and len(mean_curve(theirs)) > 0
        return numbers | {name: math.inf for name in STEPS if numbers[name] is None and reachable}

    if not reference or curves is reference:  # the reference against itself: the same seeds on both sides
        sure = over_seeds(lambda ours: bounded(ours, ours if reference else []), curves, **BOUNDS)
    else:
        sure = over_seeds(bounded, curves, reference, **BOUNDS)
    return Area(len(curves), **_numbers(curves, reference), sure=sure)


def _numbers(ours: Sequence[Curve], theirs: Sequence[Curve]) -> dict[str, float | None]:
    curve, reference = mean_curve(ours), mean_curve(theirs)
    known = len(reference) > 0
    top = max(reference.y) if known else None
    area, whole = area_under(curve), area_under(reference)
    end = curve.y[-1] if len(curve) else None
    return {
        "start": curve.y[0] if len(curve) else None,
        "best": max(curve.y, default=None),
        "end": end,
        "area": area,
        "ratio": area / whole if area is not None and whole else None,
        "end_ratio": end / reference.y[-1] if end is not None and known and reference.y[-1] else None,
        "halfway": None if top is None else reach(curve, (reference.y[0] + top) / 2),
        "top": None if top is None else reach(curve, top),
    }


def _cut(curve: Curve, last: int) -> Curve:
    return Curve.of(p for p in zip(curve.steps, curve.x, curve.y, strict=True) if p[0] <= last)
