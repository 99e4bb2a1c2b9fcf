"""Bounds of several looks hold the error that was promised."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from fastslow.metrics.power import power_of, questions_needed
from fastslow.metrics.sequential import bounds, bounds_at, looks_at, spent


def test_the_bounds_are_those_of_the_literature() -> None:
    """Four equal looks at one-sided 0.025: Lan and DeMets with O'Brien-Fleming spending, as gsDesign prints them."""
    assert bounds(0.025, (0.25, 0.5, 0.75, 1.0)) == pytest.approx((4.3326, 2.9631, 2.3590, 2.0141), abs=2e-4)


def test_one_look_is_the_usual_test() -> None:
    assert bounds(0.05, (1.0,)) == pytest.approx((float(norm.isf(0.05)),), abs=1e-6)


@pytest.mark.parametrize("fractions", [(0.5, 1.0), (0.1, 0.35, 0.8, 1.0), tuple(k / 10 for k in range(1, 11))], ids=str)
def test_a_path_without_drift_crosses_any_bound_as_often_as_promised(fractions: tuple[float, ...]) -> None:
    rng, paths = np.random.default_rng(0), 400_000
    steps = np.diff((0.0, *fractions))
    walks = np.cumsum(rng.standard_normal((paths, len(steps))) * np.sqrt(steps), axis=1)
    crossed = (walks / np.sqrt(fractions) >= bounds(0.05, fractions)).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / paths) ** 0.5)


@pytest.mark.parametrize(("alpha", "looks"), [(0.25, 20), (0.05, 20), (0.025, 20), (0.01, 20), (0.001, 20), (1e-6, 20)])
def test_every_policy_that_may_be_written_has_bounds(alpha: float, looks: int) -> None:
    found = bounds(alpha, tuple(k / looks for k in range(1, looks + 1)))
    assert all(a >= b > 0 for a, b in itertools.pairwise(found)), "no later look asks for more"
    assert sum(norm.sf(bound) for bound in found) >= alpha, "the bounds spend all of alpha"


def test_hardly_anything_is_spent_at_first_and_all_of_it_at_the_end() -> None:
    shares = [spent(0.05, f) for f in (0.1, 0.25, 0.5, 0.75, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] < 1e-5
    assert shares[-1] == 0.05


@pytest.mark.parametrize("fractions", [(), (0.0, 1.0), (0.5, 0.5), (0.5, 1.1)], ids=str)
def test_looks_that_do_not_grow_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        bounds(0.05, fractions)


def test_looks_share_the_questions_and_end_with_all_of_them() -> None:
    assert looks_at(400, 4) == [100, 200, 300, 400]
    assert looks_at(3, 8) == [1, 2, 3]
    assert bounds_at(0.05, [200, 400], 400) == bounds(0.05, (0.5, 1.0))


def test_the_planned_number_of_questions_has_the_planned_power() -> None:
    n = questions_needed(0.0, -0.05, 0.1, alpha=0.05, power=0.9)
    assert n == 343
    assert power_of(n, 0.0, -0.05, 0.1, alpha=0.05) == pytest.approx(0.9, abs=0.002)


def test_no_number_of_questions_shows_what_is_not_so() -> None:
    assert questions_needed(-0.05, -0.05, 0.1, alpha=0.05, power=0.9) is None
