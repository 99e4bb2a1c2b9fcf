"""Texts that a reader would take for one have one normal form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.texts import folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 2+2?", "WHAT IS 2+2?"),
        ("What is 2+2?", " What\tis\r\n 2+2? "),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff57\uff48\uff41\uff54", "what"),
        ("fi", "\ufb01"),
        ("Stra\u00dfe", "STRASSE"),
        ("a\u200bb", "ab"),
        ("\ufeffa", "a"),
        ("a\u00a0b", "a b"),
        ("\u03a3\u03a3", "\u03c3\u03c2"),
        ("\u212b", "\u00e5"),
        ("e\u200d\u0301", "\u00c9"),
    ],
)
def test_case_spaces_and_the_form_of_characters_make_no_difference(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("a?", "a"), ("1.0", "1"), ("e", "\u00e9"), ("-1", "1")])
def test_other_differences_stay(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@given(st.text())
def test_a_normal_form_is_its_own(text: str) -> None:
    assert folded(folded(text)) == folded(text)
