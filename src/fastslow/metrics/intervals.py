"""State how sure a number is: a value with its 95% interval, and the interval of a mean by Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.95
Interval = tuple[float, float]
ANYTHING: Interval = (-math.inf, math.inf)
NOT_NEGATIVE: Interval = (0.0, math.inf)
SHARE: Interval = (0.0, 1.0)


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
    if not values:
        return None
    value, (low, high) = float(np.mean(values)), mean_intervals(np.array([values]).T)
    return Estimate(value, float(low[0]), float(high[0])) if len(values) > 1 else Estimate(value)


def mean_intervals(
    values_S_P: NDArray[np.float64], within: Interval = ANYTHING
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Student's intervals of the means over S seeds, of each of P numbers; the mean itself where
    there is one seed."""
    seeds, mean_P = len(values_S_P), values_S_P.mean(axis=0)
    if seeds < 2:
        return mean_P, mean_P
    half_P = quantile(seeds - 1.0) * values_S_P.std(axis=0, ddof=1) / seeds**0.5
    return np.maximum(mean_P - half_P, within[0]), np.minimum(mean_P + half_P, within[1])


@lru_cache(maxsize=1024)
def quantile(freedom: float) -> float:
    """Return how many standard errors an interval reaches to each side, by Student's t."""
    return float(stdtrit(freedom, (1 + LEVEL) / 2))
