"""Estimate the accuracy a run is heading for, by a sigmoid in compute: R = R0 + (A - R0) / (1 + (Cmid / C)^B).

The form is that of Khatri et al. 2025 (ScaleRL, arXiv 2510.13786), which Fast-Slow Training uses as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares
from scipy.stats import f as f_distribution

from fastslow.metrics.curves import Curve
from fastslow.metrics.intervals import LEVEL

PARAMETERS = 4
STEEPEST = 10.0
FARTHEST = 10.0  # Cmid at most this many times the last x: beyond that the curve has not reached its middle
CEILING = 2.0  # where the search for an upper bound ends; accuracies end at 1


@dataclass(frozen=True)
class Asymptote:
    """`a` in [0, 1] with its interval; None and a `reason` where the curve does not determine `a`."""

    a: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    r0: float | None = None
    c_mid: float | None = None
    b: float | None = None


def fit_asymptote(curve: Curve) -> Asymptote:
    """Fit by least squares, with the 95% profile likelihood interval of A: all values at which the other three
    parameters can still explain the curve nearly as well. Without an upper end within reach, the curve is not
    identifiable.

    Points at x = 0 are the start and fix nothing about the form; they are used with C so small that R is R0.
    """
    c, r = np.array(curve.x), np.array(curve.y)
    if len(c) < PARAMETERS + 2:
        return Asymptote(None, reason=f"not identifiable: {len(c)} points are too few for four parameters")
    if np.ptp(r) == 0:
        return Asymptote(None, reason="not identifiable: the curve is flat")
    c = np.maximum(c, c[-1] * 1e-6)
    best = _fit(c, r)
    a, squares = float(best[1]), _squares(best, c, r)
    spare = len(c) - PARAMETERS
    # an exact fit has no residual spread: rounding errors stand in for it
    limit = max(squares, 1e-12) * (1 + float(f_distribution.ppf(LEVEL, 1, spare)) / spare)

    def excess(value: float) -> float:
        rest = _fit(c, r, fixed_a=value, start=best)
        return _squares(rest, c, r) - limit

    low, high = _bound(excess, a, 0.0), _bound(excess, a, CEILING)
    if low is None or high is None or a > 1.0 + 1e-6:
        return Asymptote(None, low, high, "not identifiable: the curve does not bend towards a ceiling yet")
    return Asymptote(a, low, min(high, 1.0), r0=float(best[0]), c_mid=float(best[2]), b=float(best[3]))


def sigmoid(parameters: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R at compute `c` for `(R0, A, Cmid, B)`."""
    r0, a, c_mid, b = parameters
    return r0 + (a - r0) / (1.0 + (c_mid / c) ** b)


def _squares(parameters: NDArray[np.float64], c: NDArray[np.float64], r: NDArray[np.float64]) -> float:
    return float(np.sum((sigmoid(parameters, c) - r) ** 2))


def _fit(
    c: NDArray[np.float64],
    r: NDArray[np.float64],
    *,
    fixed_a: float | None = None,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the best `(R0, A, Cmid, B)`, from several starts; `fixed_a` holds A fixed."""
    low = np.array([-0.5, 0.0, c[c > c[-1] * 1e-5][0] / 10, 0.2])
    high = np.array([1.0, CEILING, c[-1] * FARTHEST, STEEPEST])
    free = [0, 2, 3] if fixed_a is not None else [0, 1, 2, 3]
    starts = [np.array([r[0], max(r), middle * c[-1], b]) for middle in (0.1, 0.3, 0.7) for b in (1.0, 3.0)]
    starts += [start] if start is not None else []
    fits = []
    for guess in starts:
        whole = np.clip(guess, low + 1e-9, high - 1e-9)
        if fixed_a is not None:
            whole[1] = fixed_a

        def residual(x: NDArray[np.float64], whole: NDArray[np.float64] = whole) -> NDArray[np.float64]:
            parameters = whole.copy()
            parameters[free] = x
            return sigmoid(parameters, c) - r

        done = least_squares(residual, whole[free], bounds=(low[free], high[free]), x_scale=(high - low)[free])
        parameters = whole.copy()
        parameters[free] = done.x
        fits.append((float(done.cost), parameters))
    return min(fits, key=lambda pair: pair[0])[1]


def _bound(excess: Callable[[float], float], a: float, end: float) -> float | None:
    """Return where the curve stops being explained between `a` and `end`; None if it is explained all the way."""
    if excess(end) < 0:
        return None
    if excess(a) >= 0:
        return a
    root: Any = brentq(excess, a, end, xtol=1e-4)  # the annotation of brentq covers only the form with full_output
    return float(root)
