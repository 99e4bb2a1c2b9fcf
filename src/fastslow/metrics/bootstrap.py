"""How sure a measure over seeds is: what it would have been with other draws of the same seeds (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from fastslow.metrics.curves import LEVEL, RESAMPLES

Interval = tuple[float, float]


def over_seeds(
    measure: Callable[..., Mapping[str, float | None]], *sides: Sequence[Any], seed: int = 0
) -> dict[str, Interval]:
    """The 95% percentile interval of every number that `measure(*sides)` gives, by its name.

    Each side holds what its seeds measured; seeds are drawn with replacement, each side for itself. With fewer than two
    seeds on a side there is no interval, nor for a number that some draw does not have: an interval over the others
    would leave out the worst. A measure of what may never be reached says infinity instead of None.
    """
    if min(map(len, sides), default=0) < 2:
        return {}

    @cache
    def of(drawn: tuple[tuple[int, ...], ...]) -> Mapping[str, float | None]:
        return measure(*([side[i] for i in some] for side, some in zip(sides, drawn, strict=True)))

    draw = np.random.default_rng(seed)
    # The order of seeds changes no mean: with three of them, 2,000 draws are ten different ones.
    draws = [
        tuple(tuple(sorted(draw.integers(len(side), size=len(side)).tolist())) for side in sides)
        for _ in range(RESAMPLES)
    ]
    found = [of(one) for one in draws]
    intervals = {}
    for name in found[0]:
        values = [one.get(name) for one in found]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
            intervals[name] = (float(low), float(high))
    return intervals
