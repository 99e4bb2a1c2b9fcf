"""How a mathematical answer is built."""

from __future__ import annotations

import pytest

from fastslow.tasks.scoring.structure import form, is_relation, plain, same_form, split, unassigned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\left( 1 , 2 \right)", "(1,2)"),
        (r"50\%", "50"),
        (r"90^\circ", "90"),
        (r"\$12.", "12"),
        ("1{,}000", "1,000"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        ("1 2", "1 2"),
    ],
)
def test_what_changes_nothing_is_taken_away(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "elements", "brackets"),
    [
        ("(1,2)", ("1", "2"), "()"),
        ("[1,2)", ("1", "2"), "[)"),
        (r"\{1,2\}", ("1", "2"), r"\{\}"),
        ("1,2", ("1", "2"), ""),
        ("(3)", ("3",), ""),
        ("(a)(b)", ("(a)(b)",), ""),
        ("f(1,2)", ("f(1,2)",), ""),
    ],
)
def test_brackets_and_elements(text: str, elements: tuple[str, ...], brackets: str) -> None:
    parts = split(text)
    assert parts.elements == elements
    assert parts.opening + parts.closing == brackets


def test_a_union_has_members_in_no_order() -> None:
    parts = split(r"[2,3)\cup(0,1]")
    assert parts.union
    assert not parts.ordered
    assert parts.elements == ("[2,3)", "(0,1]")


@pytest.mark.parametrize(
    ("given", "gold", "pairs"),
    [
        ("1,2", "(1,2)", True),
        ("[1,2]", "(1,2)", False),
        (r"\{1,2\}", "1,2", True),
        ("(1,2)", r"\{1,2\}", False),
        ("1,2,3", "1,2", False),
        ("3", r"\{3\}", True),
    ],
)
def test_which_forms_can_be_compared(given: str, gold: str, pairs: bool) -> None:
    assert same_form(split(given), split(gold)) is pairs


def test_an_assignment_is_its_value_where_the_other_side_is_one() -> None:
    assert unassigned("x=3", "3") == ("3", "3")
    assert unassigned("3", "x=3") == ("3", "3")
    assert unassigned("x=3", "x=4") == ("x=3", "x=4")


def test_forms_in_words() -> None:
    assert [form(text) for text in ("x>3", "3", "(1,2)", r"(0,1)\cup(2,3)")] == [
        "an equation or inequality",
        "one value",
        "2 elements in ( )",
        "a union of 2",
    ]
    assert is_relation("x=1,y=2")
