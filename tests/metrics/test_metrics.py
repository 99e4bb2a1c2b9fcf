"""Measures on curves made by hand, whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastslow.metrics import (
    Curve,
    accuracy_interval,
    area_under,
    efficiency,
    fit_asymptote,
    kl_at_matched_accuracy,
    measure_continual,
    over_seeds,
    reach,
)
from fastslow.metrics.asymptote import sigmoid
from fastslow.metrics.curves import mean_curve
from fastslow.metrics.matched import kl_when
from tests.support.present import present


def curve(*accuracies, every: int = 10, cost: float = 1.0) -> Curve:
    return Curve.of(((i + 1) * every, (i + 1) * every * cost, y) for i, y in enumerate(accuracies))


def test_a_third_of_the_steps_is_an_efficiency_of_three():
    found = efficiency([curve(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], [curve(0.3, 0.6, 0.7)])
    assert found is not None
    assert (found.target, found.reference_x, found.other_x, found.ratio) == (0.6, 60, 20, 3.0)
    assert (found.low, found.high, found.reached) == (None, None, None), "one seed has no interval"


def test_charging_what_the_other_spends_changes_the_ratio():
    assert present(efficiency([curve(0.1, 0.6)], [curve(0.6, 0.6, cost=1.6)])).ratio == pytest.approx(20 / 16)


def test_what_is_never_reached_is_said_and_is_no_number():
    found = efficiency([curve(0.1, 0.6)], [curve(0.5, 0.59, 0.59)])
    assert found is not None
    assert (found.other_x, found.ratio) == (None, None)


def test_the_first_reaching_counts_even_if_the_curve_falls_and_comes_back():
    assert reach(curve(0.1, 0.5, 0.2, 0.6), 0.5) == 20
    assert present(efficiency([curve(0.2, 0.5, 0.1, 0.4)], [curve(0.5, 0.1, 0.5)])).ratio == 2.0


def test_a_plateau_is_reached_at_its_beginning():
    assert present(efficiency([curve(0.3, 0.5, 0.5, 0.5)], [curve(0.5, 0.5)])).reference_x == 20


def test_points_without_a_number_are_left_out():
    points = Curve.of([(30, 30.0, 0.5), (10, 10.0, None), (20, 20.0, math.nan), (40, None, 0.9)])
    assert (points.steps, points.y) == ((30,), (0.5,))
    assert efficiency([points], [Curve.of([])]) is None
    assert efficiency([], [points]) is None


def test_reached_before_anything_was_spent_is_infinitely_cheaper():
    assert present(efficiency([curve(0.1, 0.2)], [Curve.of([(0, 0.0, 0.9), (10, 10.0, 0.9)])])).ratio == math.inf


def test_seeds_are_averaged_where_all_were_measured():
    found = mean_curve([curve(0.2, 0.4, 0.9), curve(0.4, 0.6)])
    assert found.steps == (10, 20)
    assert found.y == pytest.approx((0.3, 0.5))


def test_the_interval_covers_the_truth_in_most_experiments():
    """Reference reaches its plateau at 60, the other at 20: with noisy seeds, three of each."""
    covered = 0
    for experiment in range(40):
        draw = np.random.default_rng(experiment)

        def seeds(steps, draw=draw):
            # arrival differs by seed, the level does not
            arrivals = [steps + 10 * int(draw.integers(-1, 2)) for _ in range(3)]
            return [curve(*(0.6 if 10 * (i + 1) >= a else 0.1 for i in range(9))) for a in arrivals]

        found = efficiency(seeds(60), seeds(20), seed=experiment)
        assert found is not None
        covered += present(found.low) <= 3.0 <= present(found.high)
    assert covered >= 36, covered


def test_seeds_that_do_not_get_there_show_in_the_interval():
    found = efficiency([curve(0.1, 0.6), curve(0.1, 0.6)], [curve(0.7, 0.7), curve(0.1, 0.2)])
    assert found is not None
    assert found.low == 0.0, "not reached counts as the worst"
    assert 0.1 < present(found.reached) < 0.9


def test_area_under_a_curve_is_its_mean_height():
    assert area_under(curve(0.0, 1.0)) == 0.5
    assert area_under(curve(0.4, 0.4, 0.4)) == pytest.approx(0.4)
    assert area_under(curve(0.4)) is None


def test_the_fit_recovers_the_asymptote_within_its_interval():
    """95 of 100 synthetic curves, of several shapes, with noise of 0.01."""
    x, inside = np.arange(10.0, 310.0, 10.0), 0
    for number in range(100):
        draw = np.random.default_rng(number)
        truth = np.array([draw.uniform(0, 0.2), draw.uniform(0.4, 0.9), draw.uniform(40, 100), draw.uniform(1.5, 3.0)])
        noisy = sigmoid(truth, x) + draw.normal(0, 0.01, len(x))
        found = fit_asymptote(Curve.of(zip(x.astype(int), x, noisy, strict=True)))
        inside += found.a is not None and found.low <= truth[1] <= found.high
    assert inside >= 95, f"{inside} of 100"


def test_an_exact_curve_gives_exact_parameters():
    x, truth = np.arange(5.0, 305.0, 5.0), np.array([0.1, 0.7, 60.0, 2.0])
    found = fit_asymptote(Curve.of(zip(x.astype(int), x, sigmoid(truth, x), strict=True)))
    assert (found.r0, found.a, found.c_mid, found.b) == pytest.approx(tuple(truth), abs=1e-3)
    assert present(found.low) <= 0.7 <= present(found.high)


@pytest.mark.parametrize(
    ("accuracies", "reason"),
    [
        ([0.1, 0.2, 0.3], "3 points are too few"),
        ([0.3] * 12, "flat"),
        ([0.01 * i for i in range(12)], "does not bend"),
    ],
)
def test_what_does_not_show_a_ceiling_gets_no_number(accuracies, reason):
    found = fit_asymptote(curve(*accuracies))
    assert found.a is None
    assert reason in found.reason


def test_continual_measures_of_a_matrix_by_hand():
    matrix = [[0.6, 0.1, 0.2], [0.7, 0.5, 0.3], [0.4, 0.3, 0.8]]
    found = measure_continual(matrix, base=[0.1, 0.0, 0.2])
    assert found.average == pytest.approx(0.5)
    assert found.backward_transfer == pytest.approx(((0.4 - 0.6) + (0.3 - 0.5)) / 2)
    assert found.forward_transfer == pytest.approx(((0.1 - 0.0) + (0.3 - 0.2)) / 2)
    assert found.forgetting_since_learned == pytest.approx(0.2)
    assert found.forgetting_since_peak == pytest.approx(((0.7 - 0.4) + (0.5 - 0.3)) / 2)
    assert found.retained == pytest.approx((0.4 / 0.7 + 0.3 / 0.5) / 2)
    assert found.acquisition == pytest.approx((0.5, 0.4, 0.5))


def test_one_stage_has_nothing_to_forget():
    found = measure_continual([[0.5]], base=[0.2])
    assert (found.backward_transfer, found.forward_transfer, found.forgetting_since_peak) == (None, None, None)
    assert found.acquisition == (pytest.approx(0.3),)


@pytest.mark.parametrize(("matrix", "base"), [([], []), ([[0.1, 0.2]], [0.1, 0.2]), ([[0.1]], [])])
def test_a_matrix_with_holes_is_refused(matrix, base):
    with pytest.raises(ValueError, match="expected"):
        measure_continual(matrix, base)


def moved(*points) -> Curve:
    """(KL, accuracy) at steps 10, 20, ..."""
    return Curve.of((10 * (i + 1), kl, y) for i, (kl, y) in enumerate(points))


def test_kl_is_compared_where_both_are_as_good():
    rl, fst = moved((0.0, 0.0), (1.0, 0.4)), moved((0.0, 0.0), (0.2, 0.4), (0.5, 0.8))
    found = kl_at_matched_accuracy([rl], [fst])
    assert found is not None
    assert (found.accuracy, found.reference_kl, found.other_kl) == (0.4, 1.0, pytest.approx(0.2))
    assert found.share == pytest.approx(0.2)
    assert (found.low, found.high) == (None, None), "one seed has no interval"


def test_kl_between_two_evaluations_grows_with_accuracy():
    assert kl_when(moved((0.0, 0.0), (1.0, 0.8)), 0.4) == pytest.approx(0.5)
    assert kl_when(moved((0.3, 0.5), (1.0, 0.8)), 0.4) == 0.3, "as good from the first evaluation on"
    assert kl_when(moved((0.0, 0.0), (1.0, 0.3)), 0.4) is None


def test_the_share_has_an_interval_over_seeds_and_none_without_a_move():
    rl = [moved((0.0, 0.0), (kl, 0.4)) for kl in (0.8, 1.0, 1.2)]
    fst = [moved((0.0, 0.0), (kl, 0.4)) for kl in (0.2, 0.3, 0.4)]
    found = kl_at_matched_accuracy(rl, fst)
    assert found is not None
    assert found.share == pytest.approx(0.3)
    assert 0.0 < present(found.low) < 0.2 / 1.2, "wider than from the lowest to the highest"
    assert 0.4 / 0.8 < present(found.high) < 1.0
    assert present(kl_at_matched_accuracy([moved((0.0, 0.4))], [moved((0.1, 0.4))])).share is None
    assert kl_at_matched_accuracy([], rl) is None


def test_an_interval_has_a_width_where_every_answer_is_wrong():
    low, high = present(accuracy_interval([[0.0]] * 20))
    assert low == 0.0
    assert high == pytest.approx(0.161, abs=0.001), "Wilson, 0 of 20"
    low, high = present(accuracy_interval([[1.0], [0.0]] * 50))
    assert (low, high) == (pytest.approx(0.404, abs=0.002), pytest.approx(0.596, abs=0.002))
    assert accuracy_interval([]) is None
    assert accuracy_interval([[], []]) is None


def test_samples_of_one_example_are_worth_less_than_examples():
    def width(rewards):
        low, high = present(accuracy_interval(rewards))
        return high - low

    alike = [[1.0] * 4, [0.0] * 4] * 10
    mixed = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]] * 10
    assert width(alike) == pytest.approx(width([[1.0], [0.0]] * 10), abs=0.01), "20 answers, not 80"
    assert width(mixed) < 0.6 * width(alike)


def test_the_interval_of_an_accuracy_covers_the_truth():
    draw, inside = np.random.default_rng(0), 0
    for _ in range(400):
        chance = draw.beta(1.0, 2.0, size=24)  # questions differ in difficulty: mean 1/3
        low, high = present(accuracy_interval(draw.binomial(1, chance[:, None], size=(24, 4)).tolist()))
        inside += low <= 1 / 3 <= high
    assert inside >= 0.93 * 400


def test_an_interval_over_seeds_reaches_beyond_the_lowest_and_the_highest():
    low, high = over_seeds(lambda a: {"mean": sum(a) / len(a)}, [1.0, 2.0, 3.0])["mean"]
    assert (low, high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    assert over_seeds(lambda a: {"mean": sum(a) / len(a)}, [2.0, 2.0]) == {"mean": (2.0, 2.0)}


def test_one_seed_on_a_side_has_no_interval_over_seeds():
    assert over_seeds(lambda a: {"mean": a[0]}, [1.0]) == {}
    assert over_seeds(lambda a, b: {"ratio": a[0] / b[0]}, [1.0, 2.0], [1.0]) == {}
    assert over_seeds(lambda: {"nothing": 1.0}) == {}


def test_a_number_that_is_lacking_without_some_seed_has_no_interval():
    def measure(a):
        return {"known": sum(a), "ratio": 1 / sum(a) if sum(a) else None, "far": math.inf if sum(a) else 1.0}

    found = over_seeds(measure, [0.0, 1.0])
    assert set(found) == {"known", "far"}
    low, high = found["far"]
    assert (0 < low < 1, high) == (True, math.inf)


def test_a_threshold_crossed_twice_on_a_noisy_plateau_counts_once():
    noisy = curve(0.1, 0.52, 0.48, 0.51, 0.49, 0.5)
    assert reach(noisy, 0.5) == 20
    assert present(efficiency([noisy], [noisy])).ratio == 1.0


def test_the_fit_leaves_out_points_without_a_number():
    x, truth = np.arange(5.0, 305.0, 5.0), np.array([0.1, 0.7, 60.0, 2.0])
    y = sigmoid(truth, x)
    y[[3, 10]] = math.nan
    found = fit_asymptote(Curve.of(zip(x.astype(int), x, y, strict=True)))
    assert found.a == pytest.approx(0.7, abs=1e-3)
    assert fit_asymptote(Curve.of([(1, 1.0, math.nan)])).a is None


def test_a_matrix_whose_earlier_tasks_were_never_right_has_no_share_of_a_peak():
    assert measure_continual([[0.0, 0.0], [0.0, 0.5]], base=[0.0, 0.0]).retained is None
