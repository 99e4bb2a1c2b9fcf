"""Tests of a paired difference agree with references of a few lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import skew

from fastslow.metrics.paired import Paired, interval_of, pair, tango_z, z_of


def coins(won: int, lost: int, n: int) -> Paired:
    """The answers to `n` questions that were right or wrong."""
    mean = (won - lost) / n
    return Paired(n, won, lost, mean, math.sqrt(((won + lost) / n - mean**2) * n / (n - 1)), 0.0, exact=True)


def tango_by_search(won: int, lost: int, n: int, against: float) -> float:
    """Tango's statistic with the likeliest share of losses found by search, not by his formula."""

    def unlikely(q: float) -> float:
        shares = (q + against, q, 1 - 2 * q - against)
        counts = (won, lost, n - won - lost)
        if min(shares) < 0:
            return math.inf
        return -sum(c * math.log(max(s, 1e-300)) for c, s in zip(counts, shares, strict=True))

    low, high = max(0.0, -against), (1 - against) / 2
    q = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (won - lost - n * against) / math.sqrt(n * (2 * q + against * (1 - against)))


@pytest.mark.parametrize(("won", "lost", "n"), [(12, 2, 68), (9, 1, 44), (3, 7, 100), (0, 5, 60), (20, 20, 400)])
@pytest.mark.parametrize("against", [-0.2, -0.05, -0.01, 0.01, 0.1])
def test_tangos_statistic_is_that_of_the_likeliest_shares(won: int, lost: int, n: int, against: float) -> None:
    assert float(tango_z(won, lost, n, against)) == pytest.approx(tango_by_search(won, lost, n, against), abs=2e-4)


def test_without_a_margin_it_is_mcnemars_test() -> None:
    assert float(tango_z(15, 4, 200, 0.0)) == pytest.approx((15 - 4) / math.sqrt(15 + 4))


def test_no_difference_at_all_is_no_evidence_of_a_gain() -> None:
    assert float(tango_z(0, 0, 50, 0.0)) == 0.0


@pytest.mark.parametrize("n", [20, 50])
def test_few_questions_without_any_difference_do_not_prove_a_margin(n: int) -> None:
    """With a true drop of 5 points, 20 or 50 questions show none with a probability of 0.36 or 0.08."""
    same = [[1.0]] * n
    graded = pair([[0.5]] * n, [[0.5]] * n)
    assert z_of(pair(same, same), -0.05) < 1.645
    assert z_of(graded, -0.05) < 1.645


def test_four_samples_of_a_question_count_once() -> None:
    """Repeating every sample changes nothing: a test that took them for independent would be twice as sure."""
    rng = np.random.default_rng(1)
    candidate, baseline = rng.integers(0, 2, (80, 1)), rng.integers(0, 2, (80, 1))
    once = pair((candidate * 0.5).tolist(), (baseline * 0.5).tolist())
    often = pair((candidate.repeat(4, 1) * 0.5).tolist(), (baseline.repeat(4, 1) * 0.5).tolist())
    assert z_of(often, -0.1) == pytest.approx(z_of(once, -0.1))


@pytest.mark.parametrize("pairs", [coins(12, 2, 68), coins(0, 0, 30), coins(5, 40, 200)], ids=str)
@pytest.mark.parametrize("z", [1.645, 1.96, 3.75])
def test_the_interval_holds_the_differences_that_the_test_does_not_reject(pairs: Paired, z: float) -> None:
    low, high = interval_of(pairs, z)
    assert -1 <= low <= pairs.mean <= high <= 1
    assert z_of(pairs, low) == pytest.approx(z, abs=1e-4)
    assert z_of(pairs, high) == pytest.approx(-z, abs=1e-4)


def test_each_end_of_the_interval_may_have_a_bound_of_its_own() -> None:
    pairs = coins(12, 2, 68)
    assert interval_of(pairs, 1.645, 1.96) == (interval_of(pairs, 1.645)[0], interval_of(pairs, 1.96)[1])


def test_the_skewness_is_that_of_the_questions_differences() -> None:
    candidate, baseline = np.random.default_rng(2).random((2, 50, 1)) ** 3
    assert pair(candidate.tolist(), baseline.tolist()).skewness == pytest.approx(float(skew(candidate - baseline)[0]))
    assert pair([[0.3]] * 9, [[0.1]] * 9).skewness == 0.0


def test_counts_of_won_and_lost_questions_are_those_of_the_means() -> None:
    pairs = pair([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    assert (pairs.won, pairs.lost, pairs.n, pairs.exact) == (1, 1, 3, False)


def test_other_numbers_of_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="argument"):
        pair([[1.0]], [[1.0], [0.0]])
