"""Fresh plain RL from several checkpoints: how much of what the base learns each of them still learns."""

from __future__ import annotations

from dataclasses import dataclass

from ..metrics import area_under, reach
from ..metrics.curves import mean_curve
from .compare import Arm, Comparison


@dataclass(frozen=True)
class Area:
    """Of the mean curve over seeds: `area` is the mean accuracy along the way, `ratio` its share of the reference's,
    `halfway` and `top` the steps until the reference's halfway point and best accuracy."""

    seeds: int
    start: float | None
    best: float | None
    area: float | None
    ratio: float | None
    halfway: float | None
    top: float | None


def areas(comparison: Comparison) -> dict[str, Area]:
    """For each arm by its label. Curves are cut where the shortest ends, so that areas are of the same span."""
    curves = {arm.label: mean_curve(arm.curves()) for arm in comparison.arms}
    shared = min((curve.steps[-1] for curve in curves.values() if len(curve)), default=0)
    cut = {
        label: type(curve).of(p for p in zip(curve.steps, curve.x, curve.y, strict=True) if p[0] <= shared)
        for label, curve in curves.items()
    }
    reference = cut.get(comparison.reference_label)
    theirs = area_under(reference) if reference is not None else None
    top = max(reference.y) if reference is not None and len(reference) else None
    halfway = (reference.y[0] + top) / 2 if reference is not None and top is not None else None
    return {arm.label: _area(arm, cut[arm.label], theirs, halfway, top) for arm in comparison.arms}


def _area(arm: Arm, curve, theirs: float | None, halfway: float | None, top: float | None) -> Area:
    ours = area_under(curve)
    return Area(
        seeds=len(arm.runs),
        start=curve.y[0] if len(curve) else None,
        best=max(curve.y, default=None),
        area=ours,
        ratio=ours / theirs if ours is not None and theirs else None,
        halfway=None if halfway is None else reach(curve, halfway),
        top=None if top is None else reach(curve, top),
    )
