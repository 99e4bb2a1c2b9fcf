"""Look at growing data several times without more false releases: group-sequential bounds.

The error alpha is spent over the looks as O'Brien and Fleming would (Lan and DeMets 1983, Biometrika 70): hardly any of
it at the first look, most of it at the last. The bounds follow by integrating the density of the test statistic from
look to look (Armitage, McPherson and Rowe 1969).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri, roots_legendre

NODES = 400
"""Places of the integration: with twice as many, no bound of up to ten looks changes in its sixth decimal."""

FURTHEST = 9.0
"""Standard deviations below which the density is taken for 0."""


def spent(alpha: float, fraction: float) -> float:
    """Return how much of a one-sided error `alpha` is spent once this fraction of all questions was answered."""
    return 2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(fraction))) if fraction < 1 else alpha


@lru_cache(maxsize=256)
def bounds(alpha: float, fractions: tuple[float, ...]) -> tuple[float, ...]:
    """Return the bound for z at each look. Under the hypothesis, z passes any of them with probability `alpha`.

    Args:
        alpha: one-sided error, in (0, 0.5).
        fractions: share of all questions that was answered at each look, growing; the last is 1 (or below it, where
            the questions ran out: then some error stays unspent).

    Raises ValueError for other values.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be between 0 and 0.5, got {alpha}")
    if not fractions or fractions[0] <= 0 or fractions[-1] > 1 or any(np.diff(fractions) <= 0):
        raise ValueError(f"fractions must grow from above 0 to at most 1, got {fractions}")
    found: list[float] = []
    # The statistic as a Brownian motion B(t) = z sqrt(t): the places where the paths that have not crossed a bound
    # are, and the probability at each. All paths begin at 0.
    places_X, mass_X = np.zeros(1), np.ones(1)
    before, used = 0.0, 0.0
    for fraction in fractions:
        reach, scale = math.sqrt(fraction - before), math.sqrt(fraction)
        error = spent(alpha, fraction) - used
        bracket = (-2 * scale, FURTHEST * scale)
        bound = bracket[1]
        if _excess(bound, places_X, mass_X, reach, error) < 0:  # else hardly any error may be spent at this look
            bound = root_scalar(_excess, args=(places_X, mass_X, reach, error), bracket=bracket, xtol=1e-9).root
        found.append(bound / scale)
        next_X, weights_X = _nodes(-FURTHEST * scale, bound)
        apart = (next_X[:, None] - places_X[None, :]) / reach
        places_X, mass_X = next_X, weights_X * ((_normal(apart) / reach) @ mass_X)
        before, used = fraction, spent(alpha, fraction)
    return tuple(found)


def looks_at(most: int, looks: int) -> list[int]:
    """Return how many questions are answered at each look: equal shares of `most`, the last one all of them."""
    return sorted({math.ceil(most * look / looks) for look in range(1, looks + 1)})


def bounds_at(alpha: float, answered: Sequence[int], most: int) -> tuple[float, ...]:
    """Return the bounds for these numbers of answered questions, of `most` in all."""
    return bounds(alpha, tuple(min(1.0, n / most) for n in answered))


def _excess(
    bound: float, places_X: NDArray[np.float64], mass_X: NDArray[np.float64], reach: float, error: float
) -> float:
    """Return by how much the probability that the next look crosses `bound` exceeds `error`."""
    return float(np.sum(mass_X * ndtr((places_X - bound) / reach))) - error


def _nodes(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places, weights = _legendre()
    half = (high - low) / 2
    return low + half * (places + 1), half * weights


@lru_cache(maxsize=1)
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places, weights = roots_legendre(NODES)
    return places, weights


def _normal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
