"""Texts are compared exactly, as words, or by a pattern that ends in time."""

from __future__ import annotations

import pytest

from fastslow.tasks.scoring import texts
from fastslow.tasks.scoring.texts import PATTERN_CHARS, Contains, Exact, Regex


def test_exact_names_what_stands_in_the_way() -> None:
    assert Exact().judge(" 12 ", "12").right
    assert "among other text" in Exact().judge("it is 12", "12").hint
    assert "Only case" in Exact().judge("ABC", "abc").hint


@pytest.mark.parametrize(
    ("completion", "gold", "right"),
    [("so 4.", "4", True), ("14", "4", False), ("4.5", "4", False), ("TWO  words", "two words", True)],
)
def test_contains_looks_for_whole_words(completion: str, gold: str, right: bool) -> None:
    assert Contains().judge(completion, gold).right is right


def test_contains_refuses_a_gold_that_is_nowhere_to_be_seen() -> None:
    assert Contains().objection("\u200b") is not None
    assert Contains().objection("x") is None


def test_a_pattern_must_match_the_whole_completion() -> None:
    assert Regex().judge(" 12 ", r"\d+").right
    assert not Regex().judge("12 apples", r"\d+").right


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("(", "not a regular expression"), ("x" * (PATTERN_CHARS + 1), "more than")],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, problem: str) -> None:
    assert problem in (Regex().objection(pattern) or "")


def test_a_pattern_that_runs_out_of_time_is_refused_and_leaves_a_completion_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow:
        def fullmatch(self, text: str, timeout: float) -> None:
            raise TimeoutError

    monkeypatch.setattr(texts, "_pattern", lambda text: Slow())
    assert "on plain texts" in (Regex().objection("x") or "")
    assert Regex().judge("x", "x").defect == "unscored"


def test_only_a_pattern_that_matches_itself_states_its_answer() -> None:
    assert Regex().completion("plain") == "plain"
    assert Regex().completion(r"\d+") is None
