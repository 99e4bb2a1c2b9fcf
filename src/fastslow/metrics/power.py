"""Say how many questions a test needs: before anything is measured, and once part of them is answered."""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

MOST = 10_000_000
"""A larger number of questions is as good as none."""


def questions_needed(difference: float, against: float, variance: float, *, alpha: float, power: float) -> int | None:
    """Return how many questions a one-sided test at `alpha` needs to tell `difference` from `against`.

    Args:
        difference: the true difference of the mean rewards, candidate minus baseline.
        against: the difference that the test has to exclude: minus the margin, or the gain asked for.
        variance: that of the difference on one question; where all rewards are 0 or 1 and the two are equally good, the
            share of questions on which they differ.
        alpha: one-sided error. A test of several looks takes about 2% more questions than one of a single look, and on
            average fewer.
        power: probability with which the test then passes.

    Returns None where no number of questions would do: the difference does not lie above what it is tested against.
    """
    distance = difference - against
    if distance <= 0:
        return None
    n = variance * (float(ndtri(1 - alpha)) + float(ndtri(power))) ** 2 / distance**2
    return math.ceil(max(n, 2)) if n < MOST else None


def power_of(n: int, difference: float, against: float, variance: float, *, alpha: float) -> float:
    """Return the probability that such a test of n questions passes."""
    if variance <= 0:
        return float(difference > against)
    return float(ndtr((difference - against) * math.sqrt(n / variance) - float(ndtri(1 - alpha))))
