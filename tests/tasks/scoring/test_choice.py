"""One letter, wherever a model puts it."""

from __future__ import annotations

import pytest

from fastslow.tasks.scoring.choice import Choice


@pytest.mark.parametrize("completion", ["B", "(b)", "**B.**", "B) two volts", "The answer is B.", "<answer>B</answer>"])
def test_a_letter_is_read_in_its_usual_forms(completion: str) -> None:
    assert Choice().judge(completion, "B").right


@pytest.mark.parametrize(
    ("completion", "defect"),
    [("", "no answer"), ("hm", "no answer"), ("A or B", "no answer"), ("Z", "unparsable"), ("C", "wrong value")],
)
def test_what_is_not_the_letter_is_named(completion: str, defect: str) -> None:
    assert Choice().judge(completion, "B").defect == defect


def test_with_tags_only_nothing_else_is_read() -> None:
    scorer = Choice("ABCD", tags_only=True)
    assert scorer.judge("The answer is B", "B").defect == "no answer"
    assert scorer.judge(scorer.completion("B") or "", "B").right


def test_a_gold_outside_the_options_is_refused() -> None:
    assert Choice("AB").objection("C") == "is not one of A, B"
    assert Choice("AB").objection("B") is None
