"""The ceiling of a curve and all ceilings that explain it: no bound of the search is mistaken for one of the curve."""

from __future__ import annotations

import numpy as np
import pytest

from fastslow.metrics import Curve, fit_asymptote
from fastslow.metrics.asymptote import _Fit, sigmoid
from tests.support.present import present

# Chick 1 of R's ChickWeight: days, and weights in kilograms. Over e^days the form is R's SSfpl, whose fit is
# 27.453 g, 348.971 g, middle 19.391 days, scale 6.673 days (example(SSfpl)).
DAYS = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 21]
KILOGRAMS = [0.042, 0.051, 0.059, 0.064, 0.076, 0.093, 0.106, 0.125, 0.149, 0.171, 0.199, 0.205]


def curve(x, y) -> Curve:
    return Curve.of((i, float(a), float(b)) for i, (a, b) in enumerate(zip(x, y, strict=True)))


def test_the_fit_of_a_shallow_curve_is_rs() -> None:
    found = fit_asymptote(curve(np.exp(DAYS), KILOGRAMS))
    assert found.r0 == pytest.approx(0.027453, abs=1e-6)
    assert found.a == pytest.approx(0.348971, abs=1e-6)
    assert np.log(present(found.c_mid)) == pytest.approx(19.391, abs=1e-2)
    assert 1 / present(found.b) == pytest.approx(6.673, abs=1e-3)


def test_the_interval_ends_where_the_profile_does() -> None:
    found = fit_asymptote(curve(np.exp(DAYS), KILOGRAMS))
    assert found.low == pytest.approx(0.272, abs=0.002)
    assert found.high == pytest.approx(0.932, abs=0.005)


def test_a_curve_that_may_go_on_for_ever_has_a_lower_end_only() -> None:
    found = fit_asymptote(curve(np.array(DAYS) + 1.0, KILOGRAMS))
    assert found.a is None
    assert found.high is None
    assert present(found.low) > 0.205


@pytest.mark.parametrize("b", [0.1, 0.25, 0.5, 1.0, 2.0, 8.0, 20.0])
@pytest.mark.parametrize("a", [0.3, 0.8])
@pytest.mark.parametrize("c_mid", [20.0, 60.0, 2000.0])
def test_an_exact_curve_from_its_start_gives_its_exact_ceiling(a: float, b: float, c_mid: float) -> None:
    x = np.array([0.0, *np.geomspace(1.0, 300.0 * max(1.0, c_mid / 60.0), 40)])
    found = fit_asymptote(curve(x, sigmoid(np.array([0.1, a, c_mid, b]), x)))
    assert found.a == pytest.approx(a, abs=2e-3)
    assert found.r0 == pytest.approx(0.1, abs=2e-3)


def test_the_point_at_no_cost_is_the_start_whatever_the_form() -> None:
    x = np.arange(0.0, 305.0, 5.0)
    found = fit_asymptote(curve(x, sigmoid(np.array([0.1, 0.8, 60.0, 0.25]), x)))
    assert (found.r0, found.a) == pytest.approx((0.1, 0.8), abs=1e-4)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_the_unit_of_cost_changes_no_ceiling(unit: float) -> None:
    draw, x = np.random.default_rng(0), np.arange(0.0, 310.0, 10.0)
    y = sigmoid(np.array([0.1, 0.7, 60.0, 2.0]), x) + draw.normal(0, 0.01, len(x))
    one, other = fit_asymptote(curve(x, y)), fit_asymptote(curve(x * unit, y))
    assert (other.a, other.low, other.high) == pytest.approx((one.a, one.low, one.high), abs=1e-3)


def test_a_curve_without_any_cost_has_no_ceiling() -> None:
    assert "flat" in fit_asymptote(curve([0.0] * 8, np.linspace(0.1, 0.5, 8))).reason


def test_no_other_shape_explains_the_curve_outside_the_interval() -> None:
    """Against a dense search of the shapes: squares at the ends are at the limit, and beyond it just outside."""
    found = fit_asymptote(curve(np.exp(DAYS), KILOGRAMS))
    x, y = np.exp(DAYS), np.array(KILOGRAMS)

    def least(a: float) -> float:
        best = np.inf
        for b in np.geomspace(0.02, 3, 300):
            rising = 1 / (1 + (np.exp(np.linspace(5, 60, 400))[:, None] / x) ** b)
            rest = 1 - rising
            r0 = np.clip(((y - a * rising) * rest).sum(1) / (rest**2).sum(1), -0.5, 1)
            best = min(best, float(((r0[:, None] * rest + a * rising - y) ** 2).sum(1).min()))
        return best

    limit = least(present(found.a)) * (1 + 5.3177 / 8)
    for end, out in ((present(found.low), -0.02), (present(found.high), 0.05)):
        assert least(end + out) > limit
        assert least(end - out) < limit


@pytest.mark.parametrize("first", [0.0, 1.0])
@pytest.mark.parametrize("a", [0.1, 0.7, 1.9])
@pytest.mark.parametrize("rising", [-3.0, 0.0, 2.0])
def test_the_search_goes_by_the_true_derivatives(first: float, a: float, rising: float) -> None:
    """Where R0 follows the other parameters, and where its bounds hold it (at A = 1.9)."""
    x = np.array([first, *np.arange(5.0, 100.0, 5.0)])
    fit = _Fit(x, sigmoid(np.array([0.1, 0.7, 60.0, 2.0]), x))
    point, step = np.array([0.5, rising, a]), np.eye(3) * 1e-6
    measured = [(fit._residuals(point + one) - fit._residuals(point - one)) / 2e-6 for one in step]
    assert fit._slopes(point) == pytest.approx(np.stack(measured, axis=1), abs=1e-7)
