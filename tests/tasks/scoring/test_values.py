"""JSON is compared as a value, and the first difference is named with its place."""

from __future__ import annotations

from typing import Any

import pytest

from fastslow.tasks.scoring.values import NotJson, difference, json_texts, load


@pytest.mark.parametrize(
    ("right", "given"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), (1, 1.0), (0.1, 0.10000000001), ([], []), (None, None), ("x", "x")],
)
def test_equal_values_have_no_difference(right: Any, given: Any) -> None:
    assert difference(right, given) is None


@pytest.mark.parametrize(
    ("right", "given", "said"),
    [
        (1, True, "At $: wrong type"),
        (1, "1", "a text instead of a number"),
        ([1, 2], [2, 1], "At $[0]"),
        ([1], [1, 2], "2 elements instead of 1"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "At $.a.b: 2 is off by +1."),
        ({"a": 1}, {}, 'the key "a" is missing'),
        ({}, {"a": 1}, 'the key "a" does not belong there'),
        (10, 10.000001, "off by"),
    ],
)
def test_the_first_difference_is_named(right: Any, given: Any, said: str) -> None:
    assert said in (difference(right, given) or "")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", '{"a": 1, "a": 2}', "[" * 60, "9" * 500, "[1,]", ""])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        load(text)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("<answer>[1]</answer> ```json\n[2]\n```", ["[1]"]),
        ("```json\n[1]\n```\n```\n[2]\n```", ["[2]"]),
        ("Think.\n[1]", ["Think.\n[1]", "[1]"]),
        ("[1]", ["[1]"]),
    ],
)
def test_where_the_value_may_stand(text: str, candidates: list[str]) -> None:
    assert list(json_texts(text)) == candidates
