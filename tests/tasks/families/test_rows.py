"""Rows become examples by column, and a row that cannot be used is named."""

from __future__ import annotations

from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.families.rows import Columns, Rows, RowsTask


def rows(count: int = 12, **changed: Any) -> Rows:
    return Rows([(i, {"question": f"q{i}", "answer": f"a{i}", **changed}) for i in range(1, count + 1)])


def task(source: Rows, **options: Any) -> RowsTask:
    return RowsTask("mine", "mine", source, **options)


def every(of: RowsTask) -> list[str]:
    return [e.question for split in ("train", "validation", "test") for e in of.split(split)]


def test_every_row_is_in_one_split() -> None:
    assert sorted(every(task(rows()))) == sorted(f"q{i}" for i in range(1, 13))


def test_the_order_of_rows_does_not_decide_the_splits() -> None:
    source = rows()
    other = Rows(list(reversed(source.rows)))
    assert {e.question for e in task(source).split("test")} == {e.question for e in task(other).split("test")}


def test_columns_can_have_other_names() -> None:
    source = Rows([(i, {"prompt": f"q{i}", "label": f"a{i}"}) for i in range(12)])
    mine = task(source, columns=Columns(question="prompt", answer="label"))
    example = mine.split("train")[0]
    assert mine.score(example, mine.answer(example) or "").reward == 1.0


def test_a_users_split_column_decides() -> None:
    source = Rows([(i, {"question": f"q{i}", "answer": "a", "split": split})
                   for i, split in enumerate(["train"] * 3 + ["validation"] + ["test"])])  # fmt: skip
    mine = task(source)
    assert [e.question for e in mine.split("test")] == ["q4"]


def test_a_repeated_question_is_dropped() -> None:
    source = rows()
    assert task(Rows([*source.rows, (99, source.rows[0][1])])).duplicates == 1


def test_without_a_scorer_the_answer_must_be_equal() -> None:
    mine = task(rows())
    example = mine.split("train")[0]
    answer = mine.answer(example) or ""
    assert [mine.score(example, text).reward for text in (f" {answer}\n", answer + "x")] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("returned", "reward"), [(0.5, 0.5), ((1.0, "well done"), 1.0), (None, None), (2.0, None), ("x", None)]
)
def test_a_users_scorer_gives_rewards_or_leaves_unscored(returned: Any, reward: float | None) -> None:
    mine = task(rows(), scorer=lambda completion, row: returned)
    assert mine.score(mine.split("train")[0], "text").reward == reward


def test_a_users_scorer_that_raises_leaves_unscored() -> None:
    def broken(completion: str, row: dict[str, Any]) -> float:
        raise ZeroDivisionError

    mine = task(rows(), scorer=broken)
    assert not mine.score(mine.split("train")[0], "text").scored


@pytest.mark.parametrize("question", [None, "", 3, []])
def test_a_row_without_a_question_is_named(question: Any) -> None:
    source = rows()
    source.rows[4] = (5, {"question": question, "answer": "a"})
    with pytest.raises(BadInput, match="row 5"):
        task(source)


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(BadInput, match="prompt"):
        task(rows(), columns=Columns(question="prompt"))
