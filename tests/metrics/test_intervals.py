"""Intervals over seeds are Student's, whatever is measured, and cover what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from fastslow.metrics import Curve, efficiency, kl_at_matched_accuracy, over_seeds
from fastslow.metrics.intervals import mean_intervals
from fastslow.report.questions.series import Sample, band
from tests.support.present import present

EXPERIMENTS = 2_000
NORMAL: Callable = lambda draw, n: draw.normal(0.1, 0.1, n)  # noqa: E731
SKEWED: Callable = lambda draw, n: draw.exponential(0.1, n)  # noqa: E731
BINOMIAL: Callable = lambda draw, n: draw.binomial(100, 0.1, n) / 100  # noqa: E731


def mean_of(seeds: list[float]) -> float:
    return sum(seeds) / len(seeds)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("how", "least"), [(NORMAL, 0.935), (BINOMIAL, 0.93), (SKEWED, 0.86)])
def test_the_interval_of_a_mean_covers_the_truth(how: Callable, least: float, seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    low, high = mean_intervals(how(draw, (seeds, EXPERIMENTS)))
    assert ((low <= 0.1) & (high >= 0.1)).mean() >= least


@pytest.mark.parametrize(("seeds", "experiments"), [(3, 2_000), (5, 400), (10, 60)])
def test_intervals_of_a_mean_a_difference_and_a_ratio_cover_the_truth(seeds: int, experiments: int) -> None:
    draw, truth = np.random.default_rng(seeds), {"mean": 0.6, "lead": 0.2, "ratio": 1.5}
    covered = dict.fromkeys(truth, 0)

    def measure(a: list[float], b: list[float]) -> dict[str, float | None]:
        ours, theirs = mean_of(a), mean_of(b)
        return {"mean": ours, "lead": ours - theirs, "ratio": ours / theirs}

    for _ in range(experiments):
        sides = draw.normal(0.6, 0.1, seeds).tolist(), draw.normal(0.4, 0.05, seeds).tolist()
        for name, (low, high) in over_seeds(measure, *sides, ratios=("ratio",)).items():
            covered[name] += low <= truth[name] <= high
    assert min(covered.values()) >= 0.93 * experiments, covered


@pytest.mark.parametrize(("seeds", "close"), [(2, 1e-9), (3, 1e-9), (4, 1e-9), (8, 0.02)])
def test_of_means_it_is_the_textbooks_interval(seeds: int, close: float) -> None:
    draw = np.random.default_rng(seeds)
    a, b = draw.normal(0.5, 0.1, seeds).tolist(), draw.normal(0.4, 0.3, seeds + 1).tolist()
    student = stats.ttest_1samp(a, 0.0).confidence_interval(0.95)
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert over_seeds(lambda x: {"m": mean_of(x)}, a)["m"] == pytest.approx((student.low, student.high), abs=close)
    lead = over_seeds(lambda x, y: {"m": mean_of(x) - mean_of(y)}, a, b)["m"]
    assert lead == pytest.approx((welch.low, welch.high), abs=close)
    low, high = mean_intervals(np.array([a]).T)
    assert (low[0], high[0]) == pytest.approx((student.low, student.high))


def test_three_seeds_do_not_hem_in_the_truth() -> None:
    """All draws of three seeds lie between the lowest and the highest: an interval of them misses every fourth time."""
    low, high = over_seeds(lambda a: {"m": mean_of(a)}, [0.4, 0.5, 0.6])["m"]
    assert low < 0.4
    assert high > 0.6


@pytest.mark.parametrize(("seeds", "experiments"), [(3, 60), (5, 15)])
def test_the_interval_of_a_ratio_of_costs_covers_the_truth(seeds: int, experiments: int) -> None:
    """Curves that come to 0.6 around step 60, against 20: a level reached at evaluations, not in between."""
    draw, covered = np.random.default_rng(seeds), 0

    def arm(middle: int) -> list[Curve]:
        arrivals = [middle + 10 * int(draw.integers(-1, 2)) for _ in range(seeds)]
        return [curve(range(9), range(10, 100, 10), [0.6 if 10 * (i + 1) >= a else 0.1 for i in range(9)])
                for a in arrivals]  # fmt: skip

    for _ in range(experiments):
        found = present(efficiency(arm(60), arm(20)))
        covered += present(found.low) <= 3.0 <= present(found.high)
    assert covered >= 0.85 * experiments, covered


def test_what_some_sample_does_not_reach_may_never_be_reached() -> None:
    def steps(seeds: list[float]) -> dict[str, float | None]:
        return {"steps": 1 / mean_of(seeds) if mean_of(seeds) > 0 else math.inf}

    low, high = over_seeds(steps, [0.02, -0.01, 0.03])["steps"]
    assert 0 < low < 1 / 0.02
    assert high == math.inf


def test_from_nothing_to_infinity_is_all_that_is_known_of_such_a_ratio() -> None:
    assert over_seeds(lambda a: {"r": math.inf if sum(a) > 1 else 0.0}, [0.0, 1.0, 1.0])["r"] == (0.0, math.inf)
    assert over_seeds(lambda a: {"r": math.inf if sum(a) > 1 else -1.0}, [0.0, 1.0, 1.0]) == {}


def curve(steps: Sequence[int], x: Sequence[float], y: Sequence[float]) -> Curve:
    return Curve.of(zip(steps, x, y, strict=True))


def test_a_ratio_of_costs_has_a_positive_interval_wider_than_its_seeds() -> None:
    def arm(*lasts: int) -> list[Curve]:
        return [curve(list(range(10)), [10.0 * i for i in range(10)], [0.1 * min(i, at) for i in range(10)])
                for at in lasts]  # fmt: skip

    found = present(efficiency(arm(4, 5, 6), arm(8, 9, 7)))
    assert 0 < present(found.low) < present(found.ratio) < present(found.high)


def test_kl_at_like_accuracy_has_students_interval() -> None:
    def arm(*kls: float) -> list[Curve]:
        return [curve([0, 1], [0.0, kl], [0.1, 0.5]) for kl in kls]

    found = present(kl_at_matched_accuracy(arm(1.0, 1.0, 1.0), arm(0.4, 0.5, 0.6)))
    assert found.share == pytest.approx(0.5)
    assert present(found.low) < 0.4, "three seeds are not the bounds of the truth"
    assert 0.6 < present(found.high) < 1.0


def test_the_band_of_a_chart_is_students_within_what_can_be() -> None:
    seeds = [[Sample((step, 0), {"steps": float(step)}, y + step / 10) for step in range(2)] for y in (0.1, 0.2, 0.3)]
    found = present(band(seeds, (0.0, 1.0)))
    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert found.y == pytest.approx([0.2, 0.3])
    assert found.high == pytest.approx([0.2 + half, 0.3 + half])
    assert found.low == pytest.approx([0.0, 0.3 - half]), "no accuracy is below 0"
    alone = present(band(seeds[:1]))
    assert (alone.low, alone.high) == (alone.y, alone.y)
