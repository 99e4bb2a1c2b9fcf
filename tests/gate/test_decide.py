"""One check is decided by its rewards alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastslow.gate.decide import Test as Asked
from fastslow.gate.decide import decide, decide_limit, decide_prose
from fastslow.gate.verdict import Check, combined

RETAIN = Asked("retain", "t", against=-0.05, alpha=0.05, most=400)
GAIN = Asked("gain", "t", against=0.0, alpha=0.05, most=400)


Answers = list[list[float | None]]


def answers(right: int, n: int = 400, unscored: int = 0) -> Answers:
    """The first of them unscored, then the right ones, then wrong ones: `n` in all."""
    rewards: list[float | None] = [*[None] * unscored, *[1.0] * right, *[0.0] * (n - right - unscored)]
    return [[reward] for reward in rewards]


def state(test: Asked, candidate: Any, baseline: Any, looks: list[int] | None = None) -> Check:
    return decide(test, candidate, baseline, looks or [len(candidate)])


def test_equal_answers_pass_retain_and_do_not_gain() -> None:
    assert state(RETAIN, answers(200), answers(200)).state == "pass"
    assert state(GAIN, answers(200), answers(200)).state == "undecided"


def test_a_large_drop_fails_and_a_small_one_is_not_decided() -> None:
    assert state(RETAIN, answers(150), answers(200)).state == "fail"
    assert state(RETAIN, answers(180), answers(200)).state == "undecided"


def test_the_interval_says_what_the_state_says() -> None:
    for right in range(120, 260, 4):
        check = state(RETAIN, answers(right), answers(200))
        assert check.low is not None
        assert check.high is not None
        if check.state == "pass":
            assert check.low > -0.05
        elif check.state == "fail":
            assert check.high < -0.05
        else:
            assert check.low <= -0.05 <= check.high


def test_partial_credit_is_told_from_rewards_of_zero_and_one() -> None:
    whole = state(RETAIN, answers(200), answers(200))
    assert (whole.candidate, whole.candidate_right, whole.graded) == (0.5, None, False)
    half: Answers = [[0.5], *answers(200, 399)]
    check = state(RETAIN, half, answers(0))
    assert (check.candidate_right, check.baseline_right, check.graded) == (0.5, 0.0, True)
    assert "the baseline has a mean reward of 0.000" in check.reason
    assert "the baseline is right on 0.0%" in state(RETAIN, answers(0), answers(0)).reason


def test_an_early_look_needs_more_than_a_late_one() -> None:
    candidate, baseline = answers(60, 100), answers(58, 100)
    early = state(replace(RETAIN, most=400), candidate, baseline, [100])
    late = state(replace(RETAIN, most=100), candidate, baseline)
    assert (early.state, late.state) == ("undecided", "pass")


def test_few_questions_pass_only_where_chance_lets_them_rarely_enough() -> None:
    """52 equal answers reach the usual bound, and 7% of candidates that lost 5 points give them."""
    few, enough = (state(replace(RETAIN, most=n), answers(n // 2, n), answers(n // 2, n)) for n in (52, 60))
    assert (few.state, enough.state) == ("undecided", "pass")
    assert few.more == 59 - 52


def test_an_undecided_check_says_how_many_more_questions_it_takes() -> None:
    check = state(replace(RETAIN, most=100), answers(49, 100), answers(50, 100)[::-1])
    assert check.state == "undecided"
    assert check.more is not None
    assert str(check.more) in check.reason


def test_no_number_of_questions_would_help_a_candidate_below_the_margin() -> None:
    check = state(RETAIN, answers(179), answers(200))
    assert (check.state, check.more) == ("undecided", None)


@pytest.mark.parametrize("right", [0, 10, 20])
def test_a_baseline_that_cannot_lose_the_margin_makes_the_check_invalid(right: int) -> None:
    assert state(RETAIN, answers(right), answers(right)).state == "invalid"


def test_a_loss_that_is_shown_fails_though_the_margin_is_more_than_there_was() -> None:
    check = state(RETAIN, answers(0), answers(16))
    assert check.state == "fail"
    assert "shown to be worse; the baseline is right on 4.0%, too little to lose 5.0 points" in check.reason
    assert "the margin has to be below 4.0 points" in check.reason
    assert "no margin guards" in state(RETAIN, answers(0), answers(0)).reason


def test_neither_can_one_that_guesses() -> None:
    assert state(replace(RETAIN, chance=0.5), answers(205), answers(205)).state == "invalid"


def test_a_gain_over_nothing_is_a_gain() -> None:
    assert state(GAIN, answers(20), answers(0)).state == "pass"


@pytest.mark.parametrize("side", ["candidate", "baseline", "both"])
def test_everything_unscored_is_invalid(side: str) -> None:
    nothing = answers(0, unscored=400)
    candidate = nothing if side != "baseline" else answers(400)
    baseline = nothing if side != "candidate" else answers(200)
    for test in (RETAIN, GAIN):
        assert state(test, candidate, baseline).state == "invalid"


def test_no_answer_at_all_is_invalid() -> None:
    assert state(RETAIN, [], [], [0]).state == "invalid"


def test_a_candidate_does_not_win_by_breaking_the_scorer() -> None:
    """Within the share that may be unscored, such an answer counts against the candidate, whoever gave it."""
    test = replace(RETAIN, unscored=0.5)
    broken = answers(100, unscored=100)
    check = state(test, broken, answers(200))
    assert (check.state, check.lost) == ("fail", 100)
    check = state(test, answers(200), broken)
    assert (check.won, check.lost) == (0, 0)


def test_a_question_that_nobody_was_scored_on_says_nothing() -> None:
    both = answers(200, unscored=2)
    assert state(RETAIN, both, both).n == 398


def test_a_share_of_unscored_answers_above_the_limit_is_invalid() -> None:
    assert state(RETAIN, answers(300, unscored=5), answers(200)).state == "invalid"


def test_few_unscored_answers_of_the_first_look_are_judged_with_the_rest() -> None:
    """2 of the first 100 are above 1%, and 2 of 400 are not: the gate goes on. 5 of 400 are too many whatever comes."""
    early = state(RETAIN, answers(98, 100, unscored=2), answers(98, 100), [100])
    assert early.state == "undecided"
    assert "2.0% of the first answers could not be scored, and at most 1% of all may" in early.reason
    whole = state(RETAIN, answers(398, unscored=2), answers(398), [100, 400])
    assert whole.state == "pass"
    assert state(RETAIN, answers(95, 100, unscored=5), answers(95, 100), [100]).state == "invalid"
    assert state(RETAIN, answers(95, 100), answers(95, 100, unscored=5), [100]).state == "invalid"


def test_a_look_with_too_many_unscored_answers_never_passes() -> None:
    """Not even a gain that is plain without them."""
    easy = replace(GAIN, most=200)
    assert state(easy, answers(98, 100), answers(0, 100), [100]).state == "pass"
    assert state(easy, answers(98, 100, unscored=2), answers(0, 100), [100]).state == "undecided"


def test_a_first_look_without_any_scored_answer_is_undecided_as_long_as_the_rest_may_be_scored() -> None:
    nothing = answers(0, 100, unscored=100)
    assert state(replace(RETAIN, unscored=0.5), nothing, nothing, [100]).state == "undecided"
    assert state(RETAIN, nothing, nothing, [100]).state == "invalid"


@pytest.mark.parametrize(("rise", "expected"), [(0.0, "pass"), (0.005, "pass"), (0.02, "fail"), (0.01, "undecided")])
def test_prose_may_cost_one_per_cent_more(rise: float, expected: str) -> None:
    rng = np.random.default_rng(0)
    baseline = rng.uniform(2000, 4000, 32)
    candidate = baseline * (1 + rise) + rng.normal(0, 10, 32)
    check = decide_prose(candidate.tolist(), baseline.tolist(), [1024] * 32, max_rise=0.01, alpha=0.05)
    assert check.state == expected
    assert check.difference == pytest.approx(rise, abs=0.002)


def test_prose_that_has_no_finite_probability_is_invalid() -> None:
    assert decide_prose([float("nan")] * 4, [1.0] * 4, [1] * 4, max_rise=0.01, alpha=0.05).state == "invalid"


def test_a_limit_is_compared_as_measured() -> None:
    assert decide_limit("x", 0.1, 0.1, "nats").state == "pass"
    assert decide_limit("x", 0.11, 0.1, "nats").state == "fail"
    assert decide_limit("x", None, 0.1, "nats").state == "invalid"
    assert decide_limit("x", float("nan"), 0.1, "nats").state == "invalid"


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "undecided"], "undecided"),
        (["invalid", "undecided"], "invalid"),
        (["fail", "invalid"], "fail"),
        ([], "invalid"),
    ],
)
def test_a_gate_passes_only_where_every_check_passes(states: list[Any], whole: str) -> None:
    assert combined([Check("retain", "t", one, "") for one in states]) == whole
