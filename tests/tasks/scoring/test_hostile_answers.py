"""Answers that an attacker found: they took hours, or a wrong one was paid for a part of it."""

from __future__ import annotations

import time

import pytest

from tests.tasks.scoring.test_kinds_of_answers import judged


@pytest.mark.parametrize("scorer", ["json", "number", "boxed"])
@pytest.mark.parametrize("given", ["0e999999999", "-0.00e99999999", "0e-999999999", "0.0e+888888888"])
def test_a_zero_with_any_exponent_is_judged_at_once(scorer: str, given: str) -> None:
    """Exact arithmetic would compute the power of ten first, for hours."""
    started = time.process_time()
    assert judged(scorer, "7", rf"\boxed{{{given}}}" if scorer == "boxed" else given) is not None
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "given",
    ["9^90^90^90^9", "99^90^90^90^9", "10^10^10^10^10^10^10^10", "9 ^ 90 ^ 90 ^ 9", "2^99999", "(9^90)^{90}^90"],
)
def test_towers_of_powers_are_refused_at_once(given: str) -> None:
    """Computing them runs in C, where no limit of time reaches."""
    judged("boxed", "2", r"\boxed{\frac{3}{2}+\frac12}")  # imports math-verify
    started = time.process_time()
    assert judged("boxed", "2", rf"\boxed{{{given}}}") == "unparsable"
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        *(
            ("5", rf"5\text{{ {words}}}")
            for words in ("million people", "thousand", "dozen", "degrees below zero", "k", "M", "bn", "per mille")
        ),
        *(("3", rf"3\text{{ {words}}}") for words in ("halves", "quarters", "squared", "pi", "or more", "gross")),
        *(("2", given) for given in (r"2\mathrm{\pi}", r"2\mathrm{x}", r"2\text{ hours }30\text{ min}")),
        *(("2", given) for given in (r"2\text{ dollars and }50\text{ cents}", r"2\text{ plus pi}")),
        (r"5\text{ million}", "5"),
    ],
)
def test_words_that_make_another_number_are_not_left_out(gold: str, given: str) -> None:
    assert judged("boxed", gold, rf"\boxed{{{given}}}") != "none"


@pytest.mark.parametrize(
    ("gold", "given"), [("yes", "sey"), (r"\text{yes}", r"\text{eys}"), ("no", "on"), ("BAC", "ABC"), ("even", "neev")]
)
def test_letters_of_a_word_have_their_order(gold: str, given: str) -> None:
    assert judged("boxed", gold, rf"\boxed{{{given}}}") == "wrong value"


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        ("5", r"5\text{ apples}"),
        ("1000", r"1000\text{ people}"),
        ("5", r"5\text{ m/s}"),
        (r"\text{yes}", "YES"),
        ("xy", "yx"),
    ],
)
def test_words_that_count_nothing_are_left_out(gold: str, given: str) -> None:
    assert judged("boxed", gold, rf"\boxed{{{given}}}") == "none"


@pytest.mark.parametrize("scorer", ["number", "boxed"])
@pytest.mark.parametrize(
    "completion",
    [r"-\boxed{2}", r"$-\boxed{2}$", r"3\boxed{2}", r"\boxed{2}^3", r"\boxed{2}\pi", r"5 + \boxed{2}", r"\boxed{2}/3"],
)
def test_a_box_that_holds_a_part_of_a_formula_is_no_answer(scorer: str, completion: str) -> None:
    assert judged(scorer, "2", completion) == "unparsable"


@pytest.mark.parametrize("scorer", ["number", "boxed"])
@pytest.mark.parametrize(
    "completion", [r"**\boxed{2}**", r"- \boxed{2}", r"$x = \boxed{2}$.", r"\boxed{2}^\circ", r"1. \boxed{2}!"]
)
def test_what_stands_around_a_whole_answer_is_none_of_its_formula(scorer: str, completion: str) -> None:
    assert judged(scorer, "2", completion) == "none"


@pytest.mark.parametrize("completion", ["3٫2", "1٬002", "˗2", "➖2", "2 mil", "2 Millionen", "2 ppm"])
def test_signs_that_are_not_known_make_no_number(completion: str) -> None:
    assert judged("number", "2", completion) != "none"


@pytest.mark.parametrize("completion", ["€2", "约2", "the answer is “2”", "2，"])
def test_currencies_quotes_and_words_of_other_scripts_leave_a_number_alone(completion: str) -> None:
    assert judged("number", "2", completion) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        *("A、B", r"\boxed{A、B}", "选A或B", "答案：A或B", "Answer: A または B", "Answer: A・B", "Answer: A→B"),
        *("Answer: A) x, B) y", "Answer: A, or maybe B", "Answer: A. No, B.", "The answer is A. Actually B."),
    ],
)
def test_a_letter_beside_another_or_taken_back_is_not_chosen(completion: str) -> None:
    assert judged("choice", "A", completion) != "none"


@pytest.mark.parametrize(
    "completion", ["Answer: A. Option B is wrong.", "The answer is A, because B is too large.", "A、二伏", "答案是A。"]
)
def test_a_letter_that_is_only_explained_stays_chosen(completion: str) -> None:
    assert judged("choice", "A", completion) == "none"
