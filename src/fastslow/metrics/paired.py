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
from scipy.stats import norm
from scipy.stats import t as student_t

UNSEEN = 3
"""Questions that are added to the variance of graded rewards. Where n questions show no difference, up to 3 / n of all
questions may still be lost (the 95% bound of the rule of three, Hanley and Lippman-Hand 1983): few questions without a
difference must not count as proof that there is none."""


@dataclass(frozen=True)
class Paired:
    """The answers to `n` questions, summarised.

    `won` and `lost` count the questions on which the candidate's mean reward is above and below the baseline's. `exact`
    tells that every reward is 0 or 1 and that there is one answer to a question: then Tango's test applies.
    """

    n: int
    won: int
    lost: int
    mean: float
    deviation: float
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
    return Paired(
        n=n,
        won=int((differences > 0).sum()),
        lost=int((differences < 0).sum()),
        mean=float(differences.mean()) if n else 0.0,
        deviation=float(differences.std(ddof=1)) if n > 1 else math.nan,
        exact=single and all(r in (0.0, 1.0) for side in (candidate, baseline) for samples in side for r in samples),
    )


def z_of(pairs: Paired, against: float) -> float:
    """Return the z value of the hypothesis that the true difference is `against`; 0 where there is no evidence.

    Rewards of 0 and 1 take Tango's score test (Tango 1998, Statistics in Medicine 17), all others Student's t over the
    questions' mean differences, so that several samples of one question count once (Miller 2024, arXiv 2411.00640).
    """
    if not pairs.n:
        return 0.0
    if pairs.exact:
        return float(tango_z(pairs.won, pairs.lost, pairs.n, against))
    return _clustered_z(pairs, against)


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


def interval_of(pairs: Paired, z: float) -> tuple[float, float]:
    """Return the differences that are not rejected at `z`: for z 1.96 the 95% interval, for the bound of a one-sided
    test at alpha the interval of level 1 - 2 alpha.

    Found by inverting the test, so that interval and test never contradict each other.
    """
    if not pairs.n:
        return -1.0, 1.0
    return (
        _root(lambda against: z_of(pairs, against) - z, pairs.mean, -1.0),
        _root(lambda against: z_of(pairs, against) + z, pairs.mean, 1.0),
    )


def _clustered_z(pairs: Paired, against: float) -> float:
    """Return Student's t as the z value of the same probability.

    The variance is that of the questions and of `UNSEEN` more, each lost or won entirely.
    """
    if pairs.n < 2:
        return 0.0
    squares = (pairs.n - 1) * pairs.deviation**2 + UNSEEN
    error = math.sqrt(squares / (pairs.n + UNSEEN - 1) / pairs.n)
    t = (pairs.mean - against) / error
    # Through the smaller tail, which keeps its digits.
    z = float(norm.isf(student_t.sf(abs(t), pairs.n - 1)))
    return math.copysign(min(z, 40.0), t)


def _root(z: Callable[[float], float], inside: float, end: float) -> float:
    """Return where z crosses 0 between `inside` and `end`; `end` where it does not."""
    limit = end * (1 - 1e-9)
    if z(inside) * z(limit) > 0:
        return end
    return root_scalar(z, bracket=sorted((inside, limit)), xtol=1e-7).root
