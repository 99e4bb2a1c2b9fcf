"""What a run is assembled from is looked at first: answers of the data that earn nothing are warned of."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fastslow.run.assemble import verified_demonstrations
from fastslow.tasks.families.rows import Rows, RowsTask
from fastslow.tasks.task_set import TaskSet


def task(scorer: Any, name: str = "sums") -> RowsTask:
    rows = [{"question": f"{name} {n}?", "answer": str(n)} for n in range(20)]
    return RowsTask(name, name, Rows(list(enumerate(rows, start=1)), "line"), scorer=scorer)


def warned(made: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="fastslow.run.assemble"):
        verified_demonstrations(made)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("together", [False, True])
def test_a_scorer_that_gives_its_own_answers_nothing_is_warned_of(together: bool, caplog: Any) -> None:
    never = task(lambda completion, row: 0.0)
    (line,) = warned(TaskSet([task(None, "others"), never]) if together else never, caplog)
    count = len(never.split("train"))
    assert f"task 'sums': of {count} right answers of the data, the scorer gives {count} less than full reward" in line
    assert "so that hardly anything can earn it; the first: line " in line
    assert "reward 0. 'fastslow tasks check' lists more." in line


def test_a_scorer_that_accepts_most_is_warned_of_for_the_others(caplog: Any) -> None:
    one = task(None).split("train")[0].payload["row"]["answer"]
    (line,) = warned(task(lambda completion, row: float(completion == row["answer"] != one)), caplog)
    assert "the scorer gives 1 less than full reward; the first: line " in line


@pytest.mark.parametrize("scorer", [None, "number", lambda completion, row: float(completion == row["answer"])])
def test_a_scorer_that_accepts_them_all_is_not(scorer: Any, caplog: Any) -> None:
    assert warned(task(scorer), caplog) == []


def test_a_task_of_the_users_whose_answers_cannot_be_asked_for_ends_nothing(caplog: Any) -> None:
    made = task(lambda completion, row: 0.0)
    made.answer = lambda example: None  # type: ignore[method-assign]
    made.stated_answer = lambda example: 1 / 0  # type: ignore[method-assign]
    (line,) = warned(made, caplog)
    assert "its right answers cannot be looked at: ZeroDivisionError" in line
