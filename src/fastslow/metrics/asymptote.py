"""Estimate the accuracy a run is heading for, by a sigmoid in compute: R = R0 + (A - R0) / (1 + (Cmid / C)^B).

The form is that of Khatri et al. 2025 (ScaleRL, arXiv 2510.13786), which Fast-Slow Training uses as well.

R0 and A enter linearly, so that only the shape (Cmid, B) has to be searched for, and R0 is solved for at every shape
(variable projection, Golub and Pereyra 1973). The search has no bounds of Cmid and B that a curve could meet: a grid of
shapes from nearly straight to a step gives the start, and Levenberg and Marquardt's method goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, leastsq
from scipy.special import expit, fdtri

from fastslow.metrics.curves import Curve
from fastslow.metrics.intervals import LEVEL

PARAMETERS = 4
CEILING = 2.0  # where the search for an upper bound ends; accuracies end at 1
SLOPES = np.geomspace(0.02, 100.0, 40)  # B of the grid: at 0.02 a curve is its own limit, at 100 a step
PLACES = np.linspace(0.0, 1.0, 60)  # of the middle: from far beyond the last point to far before the first
BEYOND = 15.0  # log-odds at which a sigmoid is its own limit
LEVELS = np.linspace(0.0, CEILING, 81)  # A of the grid
START = (-0.5, 1.0)  # R0 is an accuracy; room below 0, or rounding and noise near 0 would bend a straight curve
EXACT = 1e-12  # an exact fit has no residual spread: rounding errors stand in for it
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Asymptote:
    """`a` in [0, 1] with its interval; None and a `reason` where the curve does not determine `a`. Then `low` or `high`
    may still be known: an end that is None is open."""

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

    Points at x = 0 are the start: there R is R0, whatever the form.
    """
    c, r = np.array(curve.x), np.array(curve.y)
    if len(c) < PARAMETERS + 2:
        return Asymptote(None, reason=f"not identifiable: {len(c)} points are too few for four parameters")
    if np.ptp(r) == 0 or np.ptp(c) == 0:
        return Asymptote(None, reason="not identifiable: the curve is flat")
    fit = _Fit(c, r)
    best = fit.best()
    squares, spare = fit.squares(best), len(c) - PARAMETERS
    limit = max(squares, EXACT) * (1 + float(fdtri(1, spare, LEVEL)) / spare)
    a = float(best[2])
    low, high = (fit.bound(best, limit, upwards=upwards) for upwards in (False, True))
    if low is None or high is None or a > 1.0 + 1e-6:
        return Asymptote(None, low, high, "not identifiable: the curve does not bend towards a ceiling yet")
    slope, last = float(np.exp(best[0])), float(best[1])
    with np.errstate(over="ignore"):
        c_mid = float(c.max() * np.exp(-last / slope))
    return Asymptote(a, low, min(high, 1.0), r0=fit.r0(best), c_mid=c_mid, b=slope)


def sigmoid(parameters: Numbers, c: Numbers) -> Numbers:
    """Return R at compute `c` for `(R0, A, Cmid, B)`."""
    r0, a, c_mid, b = parameters
    with np.errstate(divide="ignore"):
        return r0 + (a - r0) / (1.0 + (c_mid / c) ** b)


class _Fit:
    """The sums of squares of one curve. Points in the space of parameters are (log B, log-odds of the sigmoid at the
    last x, A); R0 is the best one for them."""

    def __init__(self, c: Numbers, r: Numbers):
        self._r = r
        with np.errstate(divide="ignore"):
            self._before = np.log(c.max()) - np.log(c)  # infinite at x = 0
        self._finite = np.where(c > 0, self._before, 0.0)
        span = float(self._finite.max())
        slopes, places = np.meshgrid(SLOPES, PLACES, indexing="ij")
        odds = -BEYOND + places * (2 * BEYOND + slopes * span)
        self._shapes = np.stack([np.log(slopes).ravel(), odds.ravel()], axis=1)
        rising = expit(odds.ravel()[:, None] - slopes.ravel()[:, None] * self._before)
        rest = 1.0 - rising
        # The sums from which the squares at any A follow.
        self._sums = (
            r @ r, rising @ r, (rising**2).sum(1), rest @ r, (rest * rising).sum(1),
            np.maximum((rest**2).sum(1), 1e-300),
        )  # fmt: skip

    def squares(self, point: Numbers) -> float:
        return float(np.sum(self._residuals(point) ** 2))

    def r0(self, point: Numbers) -> float:
        """Return the best R0."""
        return self._solved(point)[0]

    def best(self) -> Numbers:
        """Return the best point over all A."""
        cells = self._squares_of_cells(LEVELS)
        starts = [np.array([*self._shapes[cells[at].argmin()], LEVELS[at]]) for at in _lowest(cells.min(axis=1))]
        return min((self._refined(start, 3) for start in starts), key=self.squares)

    def at(self, a: float, near: Numbers) -> Numbers:
        """Return the best point with this A, from the grid and from a point nearby."""
        cell = self._shapes[self._squares_of_cells(np.array([a]))[0].argmin()]
        starts = [np.array([*cell, a]), np.array([*near[:2], a])]
        return min((self._refined(start, 2) for start in starts), key=self.squares)

    def bound(self, best: Numbers, limit: float, *, upwards: bool) -> float | None:
        """Return the farthest A on this side of the best one that explains the curve within `limit`; None if A does at
        the end of the search."""
        a = float(best[2])
        side = LEVELS[a < LEVELS] if upwards else LEVELS[a > LEVELS][::-1]
        explained = self._squares_of_cells(side).min(axis=1) <= limit
        after = int(np.flatnonzero(explained).max()) + 1 if explained.any() else 0
        inside, near = (float(side[after - 1]) if after else a), best
        for level in side[after:].tolist():  # the grid is coarse: the curve may be explained beyond
            near = self.at(level, near)
            if self.squares(near) > limit:
                return self._crossing(inside, level, near, limit)
            inside = level
        return None

    def _crossing(self, inside: float, outside: float, near: Numbers, limit: float) -> float:
        def excess(a: float) -> float:
            return self.squares(self.at(a, near)) - limit

        if excess(inside) >= 0:
            return inside
        root: Any = brentq(excess, inside, outside, xtol=1e-4)  # brentq's annotation covers the form with full_output
        return float(root)

    def _refined(self, start: Numbers, free: int) -> Numbers:
        """Go downhill from `start` in its first `free` coordinates."""
        fixed = start[free:]

        def residuals(x: Numbers) -> Numbers:
            return self._residuals(np.concatenate([x, fixed]))

        def slopes(x: Numbers) -> Numbers:
            return self._slopes(np.concatenate([x, fixed]))[:, :free]

        # MINPACK itself: scipy's least_squares does around each of its steps what takes longer than the steps.
        with np.errstate(over="ignore", invalid="ignore"):
            done = leastsq(
                residuals, start[:free], Dfun=slopes, xtol=1e-12, ftol=1e-12, gtol=1e-15, maxfev=400, full_output=True
            )
        found = np.concatenate([done[0], fixed])
        found[2] = _bounded(found[2], 0.0, CEILING)
        return found if self.squares(found) <= self.squares(start) else start

    def _residuals(self, point: Numbers) -> Numbers:
        r0, rising, rest = self._solved(point)
        return r0 * rest + _bounded(point[2], 0.0, CEILING) * rising - self._r

    def _slopes(self, point: Numbers) -> Numbers:
        """Return the derivatives of the residuals (first axis) by the three coordinates; R0 moves with them. What is
        held by its bounds does not move."""
        r0, rising, rest = self._solved(point)
        a, weight = _bounded(point[2], 0.0, CEILING), float(rest @ rest)
        moving = weight > 0.0 and START[0] < r0 < START[1]
        by_odds = rising * rest
        slope = np.exp(point[0]) if abs(point[0]) <= 30.0 else 0.0
        by_slope = -slope * self._finite * by_odds
        found = np.empty((len(rest), PARAMETERS - 1))
        for at, by in enumerate((by_slope, by_odds)):
            found[:, at] = (a - r0) * by
            if moving:
                found[:, at] += rest * (float(((2 * r0 - a) * rest - (self._r - a * rising)) @ by) / weight)
        by_a = rising - (rest * (float(rest @ rising) / weight) if moving else 0.0)
        found[:, 2] = by_a if 0.0 <= point[2] <= CEILING else 0.0
        return found

    def _solved(self, point: Numbers) -> tuple[float, Numbers, Numbers]:
        """Return the best R0 at this point, the sigmoid, and what it lacks of 1."""
        slope = np.exp(_bounded(point[0], -30.0, 30.0))
        rising = expit(point[1] - slope * self._before)
        rest = 1.0 - rising
        weight = float(rest @ rest)
        if weight == 0.0:
            return 0.0, rising, rest
        r0 = float(rest @ (self._r - _bounded(point[2], 0.0, CEILING) * rising)) / weight
        return _bounded(r0, *START), rising, rest

    def _squares_of_cells(self, levels: Numbers) -> Numbers:
        """Return the sums of squares at each A (first axis) and each shape of the grid."""
        rr, sr, ss, qr, qs, qq = self._sums
        a = levels[:, None]
        free = (qr - a * qs) / qq
        r0 = np.clip(free, *START)
        return rr - 2 * a * sr + a**2 * ss - qq * free**2 + qq * (r0 - free) ** 2


def _bounded(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)  # numpy's clip takes as long for one number as all the rest of a residual


def _lowest(values: Numbers) -> list[int]:
    """Return the places of the lowest values: of each dip, the deepest three."""
    inner = np.pad(values, 1, constant_values=np.inf)
    dips = np.flatnonzero((values <= inner[:-2]) & (values <= inner[2:]))
    return sorted(dips.tolist(), key=lambda at: values[at])[:3]
