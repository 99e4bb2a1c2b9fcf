"""Measure how far the weights of two arms moved for the same accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastslow.metrics.curves import Curve, mean_curve
from fastslow.metrics.intervals import NOT_NEGATIVE, Interval
from fastslow.metrics.seeds import over_seeds


@dataclass(frozen=True)
class MatchedKL:
    """KL to the base of two arms, at the highest accuracy that both mean curves came to.

    `share` is the other's KL over the reference's: below 1, the other moved less. `low` and `high` bound it over seeds
    (None with fewer than two seeds on a side).
    """

    accuracy: float
    reference_kl: float
    other_kl: float
    share: float | None
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def kl_when(curve: Curve, accuracy: float) -> float | None:
    """Return the KL (the curve's `x`) at which the accuracy (`y`) first comes to `accuracy`; None if it never does.

    Between the last evaluation below and the first at or above, KL is taken to grow in proportion to accuracy: with
    evaluations ten steps apart, the first one past the mark may have overshot it by half its KL.
    """
    at = next((i for i, y in enumerate(curve.y) if y >= accuracy), None)
    if at is None:
        return None
    if at == 0:
        return curve.x[0]
    (x0, x1), (y0, y1) = curve.x[at - 1 : at + 1], curve.y[at - 1 : at + 1]
    return x0 + (x1 - x0) * (accuracy - y0) / (y1 - y0)


def kl_at_matched_accuracy(reference: Sequence[Curve], other: Sequence[Curve]) -> MatchedKL | None:
    """Compare curves of accuracy (y) over KL to the base (x), one a seed. None where either arm has no common
    evaluation.

    The level is that of the mean curves over seeds, and is determined anew for each sample of the seeds.
    """
    matched = _compare(mean_curve(reference), mean_curve(other))
    if matched is None or min(len(reference), len(other)) < 2:
        return matched

    def share(a: Sequence[Curve], b: Sequence[Curve]) -> dict[str, float | None]:
        once = _compare(mean_curve(a), mean_curve(b))
        return {"share": None if once is None else once.share}

    sure = over_seeds(share, reference, other, within={"share": NOT_NEGATIVE}, ratios=("share",))
    low, high = sure.get("share", (None, None))
    return replace(matched, low=low, high=high)


def _compare(reference: Curve, other: Curve) -> MatchedKL | None:
    if not len(reference) or not len(other):
        return None
    level = min(max(reference.y), max(other.y))
    theirs, ours = kl_when(reference, level), kl_when(other, level)
    assert theirs is not None
    assert ours is not None
    return MatchedKL(level, theirs, ours, ours / theirs if theirs > 0 else None)
