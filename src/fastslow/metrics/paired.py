"""Test the difference of two models that answered the same questions.

Every test is stated as a z value: standard normal where the true difference is `against`, and large where the true
difference lies above. `metrics.sequential` has the bounds that z is compared with. The differences are those of the
candidate minus the baseline, in rewards from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar

from fastslow.metrics.graded import graded_z

EQUAL = 1e-20
"""Variance below which differences are all the same: that of rounding."""


@dataclass(frozen=True)
class Paired:
    """The answers to `n` questions, summarised.

    `won` and `lost` count the questions on which the candidate's mean reward is above and below the baseline's. `exact`
    tells that every reward is 0 or 1 and that there is one answer to a question: then Tango's test applies. `skewness`
    is that of the questions' mean differences, 0 where all are equal.
    """

    n: int
    won: int
    lost: int
    mean: float
    deviation: float
    skewness: float
    exact: bool

    @property
    def discordance(self) -> float:
        """Share of the questions on which the two differ."""
        return (self.won + self.lost) / self.n if self.n else 0.0


def pair(candidate: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]) -> Paired:
    """Summarise two models' rewards; `candidate[i]` and `baseline[i]` hold the samples of question i.

    Raises ValueError for different numbers of questions and for a question without samples.
    """
    differences = np.array([np.mean(c) - np.mean(b) for c, b in zip(candidate, baseline, strict=True)])
    if not all(map(len, candidate)) or not all(map(len, baseline)):
        raise ValueError("every question needs an answer of both")
    single = all(len(samples) == 1 for side in (candidate, baseline) for samples in side)
    n = len(differences)
    apart = differences - differences.mean() if n else differences
    spread = float(np.mean(apart**2)) if n else 0.0
    return Paired(
        n=n,
        won=int((differences > 0).sum()),
        lost=int((differences < 0).sum()),
        mean=float(differences.mean()) if n else 0.0,
        deviation=float(differences.std(ddof=1)) if n > 1 else math.nan,
        skewness=float(np.mean(apart**3) / spread**1.5) if spread > EQUAL else 0.0,
        exact=single and all(r in (0.0, 1.0) for side in (candidate, baseline) for samples in side for r in samples),
    )


def z_of(pairs: Paired, against: float) -> float:
    """Return the z value of the hypothesis that the true difference is `against`; 0 where there is no evidence.

    Rewards of 0 and 1 take Tango's score test (Tango 1998, Statistics in Medicine 17), all others that of
    `metrics.graded` over the questions' mean differences, so that several samples of one question count once (Miller
    2024, arXiv 2411.00640).
    """
    if not pairs.n:
        return 0.0
    if pairs.exact:
        return float(tango_z(pairs.won, pairs.lost, pairs.n, against))
    return float(graded_z(pairs.n, pairs.mean, pairs.deviation, pairs.skewness, against))


def tango_z(won: ArrayLike, lost: ArrayLike, n: ArrayLike, against: float) -> NDArray[np.float64]:
    """Return Tango's score statistic for a difference of two paired proportions, element by element.

    Raises nothing: where the variance under the hypothesis is 0, the statistic is 0 for no difference, else infinite.
    """
    won, lost, n = (np.asarray(value, dtype=np.float64) for value in (won, lost, n))
    # The share of lost questions that is most likely where the true difference is `against`: q21 of Tango's (3).
    b = -(won + lost) + (2 * n - won + lost) * against
    c = -lost * against * (1 - against)
    q = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
    variance = n * (2 * q + against * (1 - against))
    distance = won - lost - n * against
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.sqrt(np.maximum(variance, 0))
    return np.where(distance == 0, 0.0, z)


def interval_of(pairs: Paired, low_z: float, high_z: float | None = None) -> tuple[float, float]:
    """Return the differences that are not rejected: for a z of 1.96 the 95% interval, for the bound of a one-sided test
    at alpha the interval of level 1 - 2 alpha.

    Found by inverting the test, so that interval and test never contradict each other.

    Args:
        pairs: the answers.
        low_z: the bound beyond which a difference is too low for them.
        high_z: the bound beyond which one is too high; None for the same.
    """
    if not pairs.n:
        return -1.0, 1.0
    return (
        _root(lambda against: z_of(pairs, against) - low_z, pairs.mean, -1.0),
        _root(lambda against: z_of(pairs, against) + (low_z if high_z is None else high_z), pairs.mean, 1.0),
    )


def _root(z: Callable[[float], float], inside: float, end: float) -> float:
    """Return where z crosses 0 between `inside` and `end`; `end` where it does not."""
    limit = end * (1 - 1e-9)
    if z(inside) * z(limit) > 0:
        return end
    return root_scalar(z, bracket=sorted((inside, limit)), xtol=1e-7).root
