"""Bounds hold what they promise on few questions, exactly: by adding up every outcome."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.signal import fftconvolve
from scipy.stats import multinomial, norm

from fastslow.metrics.exact import exact_bound, least_questions
from fastslow.metrics.paired import tango_z
from fastslow.metrics.sequential import bounds_at, looks_at


def outcomes(n: int) -> tuple[Any, Any]:
    return np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")


def shares(against: float, rarer: float) -> tuple[float, float]:
    """The shares of won and lost questions."""
    return (rarer, rarer - against) if against < 0 else (rarer + against, rarer)


def chances(n: int, won: float, lost: float) -> Any:
    """The probability of each outcome; 0 where more are won and lost than there are."""
    counts = np.stack([*outcomes(n), n - sum(outcomes(n))], axis=-1)
    possible = counts.min(axis=-1) >= 0
    chances = np.zeros(possible.shape)
    chances[possible] = multinomial.pmf(counts[possible], n, [won, lost, max(1 - won - lost, 0.0)])
    return chances


def error(places: list[int], bounds: list[float], against: float, rarer: float) -> float:
    """The probability of reaching the bound of any look."""
    won, lost = shares(against, rarer)
    live, passed, before = np.ones((1, 1)), 0.0, 0
    for n, bound in zip(places, bounds, strict=True):
        live = np.maximum(fftconvolve(live, chances(n - before, won, lost)), 0)
        reached = tango_z(*outcomes(n), n, against) >= bound
        passed, live, before = passed + float(live[reached].sum()), np.where(reached, 0, live), n
    return passed


@pytest.mark.parametrize(
    ("n", "against", "alpha"),
    [(9, -0.05, 0.25), (32, -0.05, 0.1), (52, -0.05, 0.05), (22, 0.0, 0.05), (50, 0.05, 0.05), (60, -0.3, 0.01)],
)
def test_a_single_look_errs_as_rarely_as_promised_however_often_the_two_differ(n, against, alpha) -> None:
    """The first three passed with 63%, 19% and 6.9% before the bound was raised."""
    bound = exact_bound(n, against, float(norm.isf(alpha)))
    worst = max(error([n], [bound], against, r) for r in np.linspace(0, (1 - abs(against)) / 2, 41))
    assert worst <= alpha + 0.0005
    assert worst > 0.5 * alpha, "a bound that is never reached holds any promise"


@pytest.mark.parametrize(("most", "against", "alpha"), [(20, -0.1, 0.1), (52, -0.05, 0.05), (60, 0.0, 0.05)])
def test_so_do_four_looks_together(most, against, alpha) -> None:
    places = looks_at(most, 4)
    bounds = [exact_bound(n, against, b) for n, b in zip(places, bounds_at(alpha, places, most), strict=True)]
    assert max(error(places, bounds, against, r) for r in np.linspace(0, 1, 16) ** 2 * (1 - abs(against)) / 2) <= alpha


def test_many_questions_need_no_correction() -> None:
    assert exact_bound(2000, -0.05, 1.6449) == pytest.approx(1.6449, abs=0.02)


def test_no_answers_to_three_questions_show_a_gain() -> None:
    assert exact_bound(3, 0.0, float(norm.isf(0.05))) == math.inf


@pytest.mark.parametrize(("against", "alpha"), [(-0.05, 0.05), (-0.3, 0.05), (-0.02, 0.01), (0.0, 0.05), (0.1, 0.05)])
def test_fewer_than_the_least_number_of_questions_cannot_pass_and_hardly_more_can(against: float, alpha: float) -> None:
    bound, least = float(norm.isf(alpha)), least_questions(against, alpha)

    def can(n: int) -> bool:
        won = 0 if against < 0 else n
        return bool(tango_z(won, 0, n, against) >= exact_bound(n, against, bound))

    assert not can(least - 1)
    assert can(math.ceil(1.25 * least))
