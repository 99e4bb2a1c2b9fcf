"""A judgement becomes a verdict that shows the gold on training examples only."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.scoring.base import RIGHT, SHOWN_CHARS, Judgement, PlainScorer, scorer_named, verdict, wrong
from fastslow.tasks.scoring.texts import Exact

WRONG = wrong("13", "Nearly.")


def test_training_feedback_has_the_hint_and_the_gold() -> None:
    judged = verdict(WRONG, Exact(), "12", "train")
    assert judged.feedback == "Wrong value: got '13'. Nearly. The right answer is '12'."
    assert judged.info == {"defect": "wrong value"}


def test_held_out_feedback_has_neither() -> None:
    assert verdict(WRONG, Exact(), "12", "test").feedback == "Wrong value: got '13'."


def test_a_right_answer_earns_one_on_every_split() -> None:
    assert [verdict(RIGHT, Exact(), "12", split).reward for split in ("train", "validation", "test")] == [1.0] * 3


def test_a_judgement_without_a_verdict_is_unscored() -> None:
    assert not verdict(Judgement("unscored", "too slow"), Exact(), "12", "train").scored


def test_a_long_gold_is_shown_cut() -> None:
    assert PlainScorer().shown("x" * 2000) == f"The right answer is '{'x' * SHOWN_CHARS}...'."


def test_an_unknown_scorer_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="Did you mean 'number'"):
        scorer_named("numbers", "t")
