"""Hold Tango's test to its error on few questions, by adding up every outcome that passes.

The test of `metrics.paired` takes its statistic for standard normal. Where the two models hardly ever differ it is not:
with a margin of 0.05, 52 questions without any difference reach z = 1.65, and a candidate that loses 5 of 100 questions
shows none with a probability of 7%. So the bound is raised until the exact probability of passing it, at the worst
share of questions on which the two may differ, is the one that the normal distribution promises: the unconditional
exact test (Suissa and Shuster 1991, Biometrics 47) of Tango's statistic.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, xlogy

from fastslow.metrics.paired import tango_z

SHARES = 64
"""Shares of differing questions that are tried, dense where the two hardly differ. The tests try others and allow the
error to be 0.0005 higher there."""

WIDTH = 9.0
"""Standard deviations of the counts that are added up around their means."""

MANY = 20_000
"""Questions beyond which the normal bound is taken: at 5,000 and a margin of 0.02 it is raised by 0.002 yet."""

ROUNDING = 1e-10
"""Difference of z that is none."""


@lru_cache(maxsize=1024)
def exact_bound(n: int, against: float, bound: float) -> float:
    """Return the least value from `bound` on that z exceeds with at most the probability that a normal z does.

    Args:
        n: questions.
        against: the difference of the hypothesis, in (-1, 1).
        bound: for z; the probability is that of a standard normal above it.

    Returns infinity where even the best outcome is too likely, and `bound` itself for very many questions, where the
    correction vanishes.
    """
    if n > MANY:
        return bound
    level = float(ndtr(-bound))
    highest = bound
    for rarer in (1 - abs(against)) / 2 * np.linspace(0, 1, SHARES) ** 2:
        commoner = rarer + abs(against)
        won, lost = (rarer, commoner) if against < 0 else (commoner, rarer)
        highest = max(highest, _bound_at(n, against, won, lost, highest, level))
    return highest


def least_questions(against: float, alpha: float) -> int:
    """Return how many questions a one-sided test at `alpha` needs at the very least.

    That is for the best answers to be hoped for: no difference where `against` is below 0 (a margin), every question
    won where it is a gain that is asked for.
    """
    likeliest = 1 + against if against < 0 else (1 + against) / 2
    if likeliest <= alpha:
        return 1
    return math.ceil(math.log(alpha) / math.log(likeliest))


def _bound_at(n: int, against: float, won: float, lost: float, bound: float, level: float) -> float:
    """Return the bound for one pair of true shares: the least z of an outcome such that it and all higher ones together
    have at most the probability `level`."""
    w, l = np.meshgrid(_counts(n, won), _counts(n, lost), indexing="ij")  # noqa: E741
    possible = w + l <= n
    w, l = w[possible], l[possible]  # noqa: E741
    z = tango_z(w, l, n, against)
    above = z >= bound
    w, l, z = w[above], l[above], z[above]  # noqa: E741
    ties = n - w - l
    log_p = gammaln(n + 1) - gammaln(w + 1) - gammaln(l + 1) - gammaln(ties + 1)
    p = np.exp(log_p + xlogy(w, won) + xlogy(l, lost) + xlogy(ties, max(1 - won - lost, 0.0)))
    if p.sum() <= level:
        return bound
    order = np.argsort(-z, kind="stable")
    z, tail = z[order], np.cumsum(p[order])
    # An outcome passes only together with all that have the same z.
    last_of_its_z = np.append(z[1:] < z[:-1] - ROUNDING, True)
    fitting = last_of_its_z & (tail <= level)
    return float(z[fitting].min()) - ROUNDING if fitting.any() else math.inf


def _counts(n: int, share: float) -> NDArray[np.float64]:
    reach = WIDTH * math.sqrt(n * share * (1 - share)) + 20
    return np.arange(max(0, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1, dtype=np.float64)
