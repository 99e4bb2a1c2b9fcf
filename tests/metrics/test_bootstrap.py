"""Other draws of the same examples, and one interval of a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fastslow.metrics import mean_interval, over_examples, over_seeds
from fastslow.metrics.bootstrap import RESAMPLES, draws, percentiles, resampled


def test_draws_of_one_side_are_those_that_scipy_makes() -> None:
    values = np.array([0.1, 0.4, 0.35, 0.8, 0.5])
    ours = percentiles(values[draws((5,))[0]].mean(axis=1))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02), "but for the interpolation"


def test_every_side_is_drawn_for_itself() -> None:
    first, second = draws((3, 4))
    assert (first.shape, second.shape) == ((RESAMPLES, 3), (RESAMPLES, 4))
    assert (first.max(), second.max()) == (2, 3)
    assert abs(np.corrcoef(first.mean(axis=1), second.mean(axis=1))[0, 1]) < 0.1


def test_a_measure_is_asked_once_for_draws_that_are_equal() -> None:
    calls = []
    found = resampled(lambda side: calls.append(side) or sum(side), [1.0, 2.0, 3.0])
    assert len(found) == RESAMPLES
    assert len(calls) == 10, "three seeds can be drawn in ten ways"


def test_an_interval_may_end_at_infinity() -> None:
    assert percentiles([1.0, math.inf, math.inf]) == (1.0, math.inf)
    assert over_seeds(lambda side: {"far": math.inf}, [1, 2]) == {"far": (math.inf, math.inf)}


def test_an_interval_over_examples_covers_their_mean_and_one_example_has_none() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 200)
    found = over_examples(200, lambda pick: float(values[pick].mean()))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 200**0.5, rel=0.1)
    assert over_examples(1, lambda pick: 0.5).interval is None


def test_the_interval_of_a_mean_is_students() -> None:
    values = [0.1, 0.3, 0.2, 0.6]
    found = mean_interval(values)
    assert found is not None
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, theirs.low, theirs.high))
    assert mean_interval([]) is None
    one = mean_interval([0.5])
    assert one is not None
    assert (one.value, one.interval) == (0.5, None)
