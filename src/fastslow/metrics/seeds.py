"""Estimate how sure any measure over few seeds is: every interval over seeds but that of a plain mean is made here.

A percentile interval of resampled seeds is not used: it never leaves the range of what was measured, and three seeds
all lie on one side of the truth in a quarter of all experiments. docs/metrics.md has the coverage of both, as
simulated. Nor is the jackknife: where seeds reach a level between two evaluations, leaving out one of them often
changes nothing, and that would look like certainty.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from fastslow.metrics.bootstrap import draws
from fastslow.metrics.intervals import ANYTHING, NOT_NEGATIVE, Interval, quantile

FEW = 5
"""Seeds of which all samples are taken (126 different ones of five) and not some drawn at random."""

Weights = tuple[tuple[tuple[int, ...], float], ...]
"""Samples of seeds, by their places, and how probable each is."""

Values = list[tuple[float | None, float]]


def over_seeds(
    measure: Callable[..., Mapping[str, float | None]],
    *sides: Sequence[Any],
    within: Mapping[str, Interval] | None = None,
    ratios: Collection[str] = (),
) -> dict[str, Interval]:
    """Return the 95% interval of every number that `measure(*sides)` gives, by its name.

    Each side holds what its seeds measured. The variance of a number is that over samples of the seeds of one side
    with the others as they are (Efron 1979), times n / (n - 1), summed over the sides; the interval is Student's, with
    the degrees of freedom of Welch 1947. Of a mean that is Student's own interval, of a difference of two means
    Welch's. `within` holds the values that a number can have, by its name. Of the numbers named in `ratios` the
    interval is made for the logarithm, where there is one.

    With fewer than two seeds on a side there are no intervals. A number that is None in some sample has none either. Of
    what may never be reached, `measure` gives infinity instead of None: then the interval is made for the reciprocal,
    of which infinity is the 0.
    """
    if min(map(len, sides), default=0) < 2:
        return {}
    whole = measure(*sides)
    sampled = [
        [
            (measure(*sides[:s], [side[i] for i in places], *sides[s + 1 :]), probability)
            for places, probability in _samples(len(side))
        ]
        for s, side in enumerate(sides)
    ]
    intervals = {}
    for name, value in whole.items():
        found = _interval(
            value, [[(one.get(name), p) for one, p in side] for side in sampled], list(map(len, sides)), name in ratios
        )
        if found is not None:
            least, most = (within or {}).get(name, ANYTHING)
            intervals[name] = (min(max(found[0], least), most), min(max(found[1], least), most))
    return intervals


def _interval(value: float | None, sampled: list[Values], seeds: list[int], ratio: bool) -> Interval | None:
    known = [[(one, p) for one, p in side if one is not None] for side in sampled]
    if value is None or sum(map(len, known)) < sum(map(len, sampled)):
        return None
    everything = [value, *(one for side in known for one, _ in side)]
    if all(map(math.isfinite, everything)):
        if ratio and min(everything) > 0:
            low, high = _student(math.log(value), [[(math.log(one), p) for one, p in side] for side in known], seeds)
            if low == high:  # not by way of the logarithm, which rounds
                return value, value
            with np.errstate(over="ignore"):
                return float(np.exp(low)), float(np.exp(high))
        return _student(value, known, seeds)
    if min(everything) < 0:
        return None
    if 0.0 in everything:  # from nothing to infinity
        return NOT_NEGATIVE
    low, high = _student(1 / value, [[(1 / one, p) for one, p in side] for side in known], seeds)
    return _reciprocal(high), _reciprocal(low)


def _student(value: float, sampled: list[list[tuple[float, float]]], seeds: list[int]) -> Interval:
    variances = []
    for side, n in zip(sampled, seeds, strict=True):
        values, weights = np.array(side).T
        middle = float(weights @ values)
        variances.append(n / (n - 1) * float(weights @ (values - middle) ** 2))
    whole = sum(variances)
    if whole <= (1e-12 * value) ** 2:  # rounding alone
        return value, value
    freedom = whole**2 / sum(v**2 / (n - 1) for v, n in zip(variances, seeds, strict=True))
    half = quantile(freedom) * whole**0.5
    return value - half, value + half


@lru_cache(maxsize=32)
def _samples(seeds: int) -> Weights:
    """Return samples of as many seeds, with replacement: all of them where there are few. Their order changes no
    measure."""
    if seeds > FEW:
        drawn = Counter(map(tuple, np.sort(draws((seeds,))[0], axis=1).tolist()))
        return tuple((places, count / drawn.total()) for places, count in drawn.items())
    samples = []
    for places in combinations_with_replacement(range(seeds), seeds):
        ways = math.factorial(seeds)
        for repeats in Counter(places).values():
            ways //= math.factorial(repeats)
        samples.append((places, ways / seeds**seeds))
    return tuple(samples)


def _reciprocal(end: float) -> float:
    return 1 / end if end > 0 else math.inf
