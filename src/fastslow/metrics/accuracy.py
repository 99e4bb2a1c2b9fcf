"""Estimate how sure an accuracy is, from the rewards that it is the mean of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from fastslow.metrics.intervals import LEVEL


def accuracy_interval(rewards: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Return the 95% interval of the mean over examples of their mean reward; None without any reward.

    `rewards[i]` holds the samples of example i, in [0, 1]. Samples of one example are not independent, so the interval
    is Wilson's with an effective number of samples: p (1 - p) over the variance of the mean of examples, at least the
    number of examples and at most that of samples (Korn and Graubard 1998 with Wilson 1927). Unlike a bootstrap it has
    a width where every answer is wrong, and it never leaves [0, 1].
    """
    means = np.array([np.mean(samples) for samples in rewards if len(samples)])
    n, samples = len(means), sum(map(len, rewards))
    if not n:
        return None
    p = float(means.mean())
    spread, variance = p * (1 - p), float(means.var(ddof=1)) / n if n > 1 else math.inf
    # Where every answer is wrong, nothing shows how dependent samples of one example are: each example counts once.
    effective = n if not spread else samples if not variance else min(max(spread / variance, n), samples)
    z = float(ndtri((1 + LEVEL) / 2))
    centre = (p + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z * math.sqrt(spread / effective + z * z / (4 * effective**2)) / (1 + z * z / effective)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))  # at 0 and 1, but for rounding
