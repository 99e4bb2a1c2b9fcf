"""Where the answer stands in a completion."""

from __future__ import annotations

import time

import pytest

from fastslow.tasks.scoring.extract import MAX_CHARS, boxed, is_blank, marked, tagged, tail


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>a</answer> then <ANSWER> b </ANSWER>", "b"),
        ("<answer>a</answer><answer>b", "a"),
        ("<answer>a<answer>b</answer>", "b"),
        ("a</answer>", None),
        ("a", None),
    ],
)
def test_the_last_complete_tags_count(text: str, answer: str | None) -> None:
    assert tagged(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} and \boxed{ 2 }", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{\{1\}}", r"\{1\}"),
        (r"\fboxed {3}", "3"),
        ("3", None),
    ],
)
def test_the_last_closed_box_counts(text: str, answer: str | None) -> None:
    assert boxed(text) == answer


def test_tags_come_before_boxes() -> None:
    assert marked(r"<answer>a</answer> \boxed{b}") == "a"
    assert marked(r"\boxed{b}") == "b"


@pytest.mark.parametrize(("text", "blank"), [("", True), (" \n\u200b\x00", True), ("a", False), ("\u2713", False)])
def test_blank_is_what_a_reader_cannot_see(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


def test_only_the_end_of_a_long_completion_is_read() -> None:
    assert tail("x" * MAX_CHARS + "end") == "x" * (MAX_CHARS - 3) + "end"


@pytest.mark.parametrize("piece", ["{", r"\boxed{", "<answer>", "\\"])
def test_hostile_repetitions_take_no_time(piece: str) -> None:
    text = (piece * MAX_CHARS)[:MAX_CHARS]
    started = time.process_time()
    boxed(text)
    tagged(text)
    assert time.process_time() - started < 1.0
