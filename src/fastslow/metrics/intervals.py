"""State how sure a number is: a value with its 95% interval, and the interval of a mean by Student's t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student_t

LEVEL = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95% interval; None where there is too little for an interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Estimate the mean with its interval by Student's t (Student 1908). One value has no interval, an empty list no
    mean."""
    if len(values) < 2:
        return Estimate(values[0]) if values else None
    value = fmean(values)
    half = float(student_t.ppf((1 + LEVEL) / 2, len(values) - 1) * stdev(values) / len(values) ** 0.5)
    return Estimate(value, value - half, value + half)
