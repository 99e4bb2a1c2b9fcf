"""Which number a text is, and how near an answer must come."""

from __future__ import annotations

from fractions import Fraction

import pytest

from fastslow.tasks.scoring.numbers import MAX_DIGITS, Number, close, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        ("-3/4", Fraction(-3, 4)),
        ("\u22125", Fraction(-5)),
        ("1,234.5", Fraction(2469, 2)),
        ("25%", Fraction(1, 4)),
        ("1.2e1", Fraction(12)),
        ("$12.", Fraction(12)),
        ("twelve", None),
        ("1 2", None),
        ("1,23", None),
        ("1/0", None),
        ("1e9999", None),
        ("9" * (MAX_DIGITS + 1), None),
    ],
)
def test_a_text_is_one_number_or_none(text: str, value: Fraction | None) -> None:
    assert read(text) == value


def test_a_whole_answer_is_met_exactly_and_another_within_a_millionth() -> None:
    assert not close(Fraction("12.0000001"), Fraction(12))
    assert close(Fraction("0.3333333"), Fraction(1, 3))
    assert not close(Fraction("0.3333"), Fraction(1, 3))


def test_a_gold_that_is_not_a_number_is_refused() -> None:
    assert Number().objection("twelve") == "is not a number"
    assert Number().objection("12") is None
