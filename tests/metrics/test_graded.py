"""The test of graded rewards is Student's t where that holds, and careful where losses are rare and whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from fastslow.metrics.graded import graded_z


def z_of(d_G_n: Any, against: float) -> Any:
    apart_G_n = d_G_n - d_G_n.mean(1, keepdims=True)
    spread_G = (apart_G_n**2).mean(1)
    lean_G = np.where(spread_G > 1e-20, (apart_G_n**3).mean(1) / np.maximum(spread_G, 1e-20) ** 1.5, 0.0)
    return graded_z(d_G_n.shape[1], d_G_n.mean(1), d_G_n.std(1, ddof=1), lean_G, against)


def test_it_is_students_t_where_the_differences_lean_to_no_side() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(0, 0.2, (1, 1000))
    d_G_n = np.concatenate([0.01 + half, 0.01 - half], axis=1)
    for against in (-0.005, 0.005, 0.015):
        p: Any = ttest_1samp(d_G_n[0], against, alternative="greater")[1]
        assert z_of(d_G_n, against)[0] == pytest.approx(float(norm.isf(p)), abs=1e-9)


@pytest.mark.parametrize("n", [20, 60, 100, 400])
@pytest.mark.parametrize(
    "kind", ["whole", "half", "beside noise", "beside wins", "of four samples", "everywhere", "rare wins"]
)
def test_a_true_drop_of_the_margin_passes_as_rarely_as_promised(kind: str, n: int) -> None:
    """The first ones are the worst for a test that estimates the variance: often it sees none."""
    rng, shape, drop = np.random.default_rng(0), (4000, n), 0.05
    lost = rng.random(shape)
    d_G_n = {
        "whole": lambda: -(lost < drop).astype(float),
        "half": lambda: -0.5 * (lost < 2 * drop),
        "beside noise": lambda: np.where(lost < drop, -1.0, rng.normal(0, 0.05, shape)),
        "beside wins": lambda: np.select([lost < drop + 0.05, lost > 0.95], [-1.0, 1.0]),
        "of four samples": lambda: (rng.binomial(4, 0.45, shape) - rng.binomial(4, 0.5, shape)) / 4,
        "everywhere": lambda: rng.uniform(-1, 0.9, shape),
        "rare wins": lambda: np.where(lost < 0.02, 1.0, -(drop + 0.02) / 0.98),
    }[kind]()
    assert np.mean(z_of(d_G_n, -drop) > norm.isf(0.05)) <= 0.065


@pytest.mark.parametrize(("n", "enough"), [(3, False), (4, False), (5, True)])
def test_a_few_wins_are_a_gain_only_where_chance_gives_them_rarely_enough(n: int, enough: bool) -> None:
    """Without a true gain, the better of two is one of the two: n of n with a probability of 1 in 2 ** n."""
    assert bool(graded_z(n, 0.9, 0.0, 0.0, 0.0) >= norm.isf(0.05)) == enough


def test_what_is_shown_above_is_shown_below_when_the_two_change_places() -> None:
    d_G_n = np.random.default_rng(1).random((5, 30)) ** 3
    assert z_of(d_G_n, 0.1) == pytest.approx(-z_of(-d_G_n, -0.1))


def test_one_question_shows_nothing() -> None:
    assert graded_z(1, 1.0, np.nan, 0.0, 0.0) == 0.0
