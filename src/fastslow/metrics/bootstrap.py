"""Estimate how sure a measure over many examples is, from other draws of them (Efron 1979).

Seeds are too few for this (see `seeds`); of them it says only how often something happens in other draws.

`scipy.stats.bootstrap` is not used: it draws one side after the other, interpolates between infinities, and calls the
measure anew for draws that are equal, which with three seeds is nearly all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastslow.metrics.intervals import LEVEL, Estimate

RESAMPLES = 2_000
Measured = TypeVar("Measured")


@lru_cache(maxsize=32)
def draws(sizes: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.int64], ...]:
    """Draw indices with replacement: for each side of `sizes[i]` items an array of RESAMPLES x `sizes[i]`."""
    draw = np.random.default_rng(seed)
    if len(sizes) == 1:
        return (draw.integers(sizes[0], size=(RESAMPLES, sizes[0])),)
    both = [[draw.integers(size, size=size) for size in sizes] for _ in range(RESAMPLES)]
    return tuple(np.stack(side) for side in zip(*both, strict=True))


def percentiles(values: Sequence[float] | NDArray[np.float64]) -> tuple[Any, Any]:
    """Return the ends of the percentile interval over the first axis. They are among the values, which may be
    infinite: between infinities nothing can be interpolated."""
    low, high = np.quantile(np.asarray(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="nearest")
    return low, high


def resampled(measure: Callable[..., Measured], *sides: Sequence[Any], seed: int = 0) -> list[Measured]:
    """Return `measure(*sides)` for RESAMPLES draws of the items of each side, each side drawn independently."""

    @cache
    def of(drawn: tuple[tuple[int, ...], ...]) -> Measured:
        return measure(*([side[i] for i in indices] for side, indices in zip(sides, drawn, strict=True)))

    # The order of seeds changes no mean: with three of them, 2,000 draws are ten different ones.
    sorted_draws = [np.sort(side, axis=1).tolist() for side in draws(tuple(map(len, sides)), seed)]
    return [of(tuple(map(tuple, drawn))) for drawn in zip(*sorted_draws, strict=True)]


def over_examples(count: int, statistic: Callable[[NDArray[np.int64]], float], seed: int = 0) -> Estimate:
    """Estimate a statistic of `count` examples, given their indices, with its percentile interval; a single example
    has none."""
    value = statistic(np.arange(count))
    if count < 2:
        return Estimate(value)
    (picks,) = draws((count,), seed)
    low, high = percentiles([statistic(pick) for pick in picks])
    return Estimate(value, float(low), float(high))
