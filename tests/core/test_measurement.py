"""Measurements: their rows are those of evals.jsonl, and unscored is never 0."""

from __future__ import annotations

import json

import pytest

from fastslow.core.measurement import Answer, Choice, Measurement, first_questions, means
from tests.support.measurements import measurement

ROW = {
    "step": 10, "accuracy": 0.5, "fully_right": 0.25, "low": 0.3, "high": 0.7, "best": None, "n": 4, "samples": 2,
    "unscored": 1,
    "context": "cluster", "context_id": None, "chosen": {"c0ffee": 3, "decaf": 1}, "right_topic": None, "gain": 0.25,
    "gain_low": -0.1, "gain_high": 0.6, "task": "a", "split": "validation", "weights": "trained", "kl": None,
    "entropy": None,
}  # fmt: skip


def test_a_row_comes_back_as_it_was_written_key_for_key() -> None:
    assert list(Measurement.from_row(ROW).row().items()) == list(ROW.items())


def test_a_row_without_a_choice_or_a_step_has_no_keys_for_them() -> None:
    row = measurement().row()
    assert list(row) == [
        "accuracy", "fully_right", "low", "high", "best", "n", "samples", "unscored", "context", "context_id", "task",
        "split", "weights", "kl", "entropy",
    ]  # fmt: skip
    assert Measurement.from_row(row) == measurement()


def test_a_row_of_an_older_run_is_read_without_the_keys_it_lacks() -> None:
    old = Measurement.from_row({"step": 3, "weights": "base", "context": "seed", "task": "a", "accuracy": 0.5, "kl": 0})
    assert (old.low, old.entropy, old.n, old.split, old.choice) == (None, None, 0, "validation", None)
    with pytest.raises(KeyError):
        Measurement.from_row({"step": 3})


def test_an_unscored_answer_is_null_in_its_line_and_not_0() -> None:
    answers = (Answer("e1", 0, "c0ffee", 0.0, 7), Answer("e1", 1, "c0ffee", None, 5))
    lines = [json.loads(json.dumps(row)) for row in measurement(answers=answers).answer_rows()]
    assert [line["reward"] for line in lines] == [0.0, None]
    assert lines[1] == {
        "task": "a", "split": "validation", "weights": "trained", "context": "lead", "context_id": "c0ffee",
        "example_id": "e1", "sample": 1, "reward": None, "tokens": 5,
    }  # fmt: skip


def test_what_is_shown_of_answers_is_the_first_sample_of_the_first_questions_of_each_task_in_turn() -> None:
    def answered(task: str, *ids: str) -> Measurement:
        answers = [Answer(id_, n, "c0ffee", 1.0, 7, f"text {n}", f"what is {id_}?") for id_ in ids for n in range(2)]
        return measurement(task=task, step=3, answers=tuple(answers))

    both = [answered("a", "a1", "a2", "a3"), answered("b", "b1"), answered("a", "a1")]
    assert first_questions(both, 3) == ["a1", "b1", "a2"]
    assert first_questions(both[:1], 2) == ["a1", "a2"]
    assert first_questions([measurement()], 3) == []
    assert both[0].shown("b1") is None
    assert both[0].shown("a2") == {
        "step": 3, "weights": "trained", "context": "lead", "task": "a", "context_id": "c0ffee", "example_id": "a2",
        "question": "what is a2?", "text": "text 0", "tokens": 7, "reward": 1.0,
    }  # fmt: skip


def test_answers_and_choice_leave_the_row_flat() -> None:
    one = measurement(choice=Choice({"c0ffee": 4}), answers=(Answer("e1", 0, "c0ffee", 1.0, 7),))
    assert one.row()["chosen"] == {"c0ffee": 4}
    assert "answers" not in one.row()


def test_a_mean_over_tasks_is_there_only_where_every_task_was_measured() -> None:
    measured = [
        measurement(task="a", accuracy=0.25, kl=0.5), measurement(task="b", accuracy=0.75),
        measurement(task="a", context="seed", accuracy=None), measurement(task="b", context="seed", accuracy=0.5),
    ]  # fmt: skip
    assert means(measured, "accuracy") == {"lead": 0.5}
    assert means(measured, "kl") == {}
