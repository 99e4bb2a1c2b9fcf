"""Scores become rewards or reasons, and feedback reveals no held-out answer."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from fastslow.tasks.verdicts import QUOTED_CHARS, REASONS_KEPT, Unscored, as_reward, explain, quote


@pytest.mark.parametrize(
    ("score", "reward"),
    [(1, 1.0), (0.25, 0.25), (True, 1.0), (np.float32(0.5), 0.5), (1 - 1e-12, 1.0)],
)
def test_a_number_in_range_is_a_reward(score: Any, reward: float) -> None:
    assert as_reward(score) == reward


@pytest.mark.parametrize("score", [None, "1", 1.1, -0.1, float("nan"), [1]])
def test_anything_else_is_not(score: Any) -> None:
    with pytest.raises(ValueError, match="the scorer returned"):
        as_reward(score)


def test_training_feedback_shows_the_answer() -> None:
    assert explain("13", "12", 0.0, "train") == "Answered '13', wrong. The right answer is '12'."


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_feedback_never_does(split: Any) -> None:
    assert explain("it is 12, sure", "12", 0.0, split) == "Answered 'it is 12, sure', wrong."


@pytest.mark.parametrize(
    ("completion", "said"),
    [
        ("it is 4, sure", "Right answer but surrounded"),
        ("it is 14", "Answered"),
        ("it is -4", "Answered"),
        ("it is 4.5", "Answered"),
        (" ", "The answer is empty"),
    ],
)
def test_an_answer_among_other_text_is_recognised_as_a_word(completion: str, said: str) -> None:
    assert explain(completion, "4", 0.0, "train").startswith(said)


def test_a_quotation_is_short_and_printable() -> None:
    assert quote("x" * 1000) == "x" * QUOTED_CHARS + "..."
    assert quote("a\x1b[2J\nb") == "a\N{REPLACEMENT CHARACTER}[2J\nb"


def test_each_reason_is_logged_once_and_no_more_than_a_hundred(caplog: pytest.LogCaptureFixture) -> None:
    unscored = Unscored("t", logging.getLogger("test"))
    with caplog.at_level(logging.WARNING, "test"):
        for _ in range(2):
            for i in range(REASONS_KEPT + 20):
                assert not unscored(f"reason {i}", "line 1").scored
    assert len(caplog.records) == REASONS_KEPT
