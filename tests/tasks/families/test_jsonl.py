"""A user's JSONL file as a task: columns, splits, scorers, and an error that names the line for whatever is wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastslow.core.errors import BadInput
from fastslow.core.types import Split
from fastslow.tasks.families.jsonl import Columns, JsonlTask
from fastslow.tasks.resolve import resolve_task

SPLITS = ("train", "validation", "test")
ROWS = [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(50)]


def write(folder: Path, rows, name: str = "my.jsonl") -> Path:
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def first(task: JsonlTask, split: Split = "train"):
    return task.split(split)[0]


def test_a_file_without_a_split_column_holds_out_a_fifth_twice(tmp_path):
    task = JsonlTask(write(tmp_path, ROWS))
    assert [len(task.split(split)) for split in SPLITS] == [30, 10, 10]
    ids = [e.id for split in SPLITS for e in task.split(split)]
    assert len(set(ids)) == 50, "every row is in one split"


def test_a_large_file_holds_out_64_rows_twice_and_trains_on_all_the_rest(tmp_path):
    task = JsonlTask(write(tmp_path, [{"question": str(i), "answer": "x"} for i in range(1000)]))
    assert [len(task.split(split)) for split in SPLITS] == [872, 64, 64]


def test_the_order_of_lines_and_the_folder_change_neither_ids_nor_splits(tmp_path):
    (tmp_path / "other").mkdir()
    a = JsonlTask(write(tmp_path, ROWS))
    b = JsonlTask(write(tmp_path / "other", ROWS[::-1]))
    assert [[e.id for e in a.split(s)] for s in SPLITS] == [[e.id for e in b.split(s)] for s in SPLITS]


def test_sizes_are_upper_bounds_and_leave_held_out_rows_alone(tmp_path):
    path = write(tmp_path, ROWS)
    full, few = JsonlTask(path), resolve_task(f"jsonl:{path}", train_size=5, data_seed=3)
    assert few.split("train") == full.split("train")[:5]
    assert few.split("test") == full.split("test")


def test_a_split_column_is_obeyed(tmp_path):
    rows = [{**row, "part": SPLITS[i % 3]} for i, row in enumerate(ROWS)]
    task = resolve_task(f"jsonl:{write(tmp_path, rows)}?split=part", validation_size=4)
    assert [len(task.split(split)) for split in SPLITS] == [17, 4, 16], "sizes cut such splits too"
    assert all(e.payload["row"]["part"] == split == e.split for split in SPLITS for e in task.split(split))


def test_repeated_questions_are_dropped_and_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        task = JsonlTask(write(tmp_path, ROWS + ROWS[:7]))
    assert task.duplicates == 7
    assert sum(len(task.split(split)) for split in SPLITS) == 50
    assert "dropped 7 rows that repeat a question" in caplog.text
    with caplog.at_level(logging.WARNING):
        JsonlTask(write(tmp_path, ROWS + ROWS[:1]))
    assert "dropped 1 row that repeats a question" in caplog.text


def test_chat_turns_and_renamed_columns_are_read(tmp_path):
    turns = [{"role": "user", "content": "Hello."}, {"role": "user", "content": "And 2 + 2?"}]
    rows = [{"messages": [*turns, {"role": "user", "content": str(i)}], "gold": "4", "uid": i} for i in range(5)]
    task = JsonlTask(write(tmp_path, rows), columns=Columns(answer="gold", id="uid"))
    example = first(task)
    assert len(example.messages) == 3
    assert example.question.endswith(example.id), "the user's own ids, as text"
    assert task.answer(example) == "4"


def test_blank_lines_byte_order_mark_and_line_separators_in_texts_are_no_trouble(tmp_path):
    rows = ['\ufeff{"question": "a\u2028b", "answer": "1"}', "", '{"question": "c", "answer": "2"}\r', "  ",
            '{"question": "d", "answer": "3"}']  # fmt: skip
    task = JsonlTask(write(tmp_path, rows))
    assert {e.payload["line"] for split in SPLITS for e in task.split(split)} == {1, 3, 5}


def test_without_a_scorer_the_stripped_text_must_equal_the_answer(tmp_path):
    task = JsonlTask(write(tmp_path, ROWS))
    train, held_out = first(task), first(task, "validation")
    gold = task.answer(train)
    assert gold == str(train.payload["row"]["answer"]), "numbers are answers too"
    assert task.score(train, f" {gold}\n").reward == 1.0
    assert task.score(train, "no").feedback == f"Answered 'no', wrong. The right answer is '{gold}'."
    assert task.score(train, f"it is {gold}").feedback.startswith("Right answer but surrounded by other text")
    assert task.score(held_out, "no").feedback == "Answered 'no', wrong.", "no answer outside training"


@given(text=st.text(max_size=50))
@settings(max_examples=50, deadline=None)
def test_any_text_is_judged(text, tmp_path_factory):
    task = JsonlTask(write(tmp_path_factory.mktemp("any"), ROWS[:5]))
    assert task.score(first(task), text).reward in (0.0, 1.0)


SCORES = [
    (lambda c, row: 1, 1.0, "Correct."),
    (lambda c, row: True, 1.0, "Correct."),
    (lambda c, row: False, 0.0, "Wrong."),
    (lambda c, row: np.float32(0.5), 0.5, "Scored 0.50 of 1."),
    (lambda c, row: np.bool_(True), 1.0, "Correct."),
    (lambda c, row: np.int64(0), 0.0, "Wrong."),
    (lambda c, row: 1 + 1e-12, 1.0, "Correct."),
    (lambda c, row: (0.25, "nearly: it is gold"), 0.25, "nearly: it is gold"),
    (lambda c, row: (1.0, ""), 1.0, "Correct."),
]


@pytest.mark.parametrize(("scorer", "reward", "feedback"), SCORES)
def test_a_scorer_may_return_any_number_and_a_feedback(scorer, reward, feedback, tmp_path):
    task = JsonlTask(write(tmp_path, ROWS), scorer=scorer)
    verdict = task.score(first(task), "text")
    assert (verdict.reward, verdict.feedback) == (reward, feedback)


def test_a_scorers_feedback_stays_inside_the_training_split(tmp_path):
    task = JsonlTask(write(tmp_path, ROWS), scorer=lambda c, row: (0.0, f"it is {row['answer']}"))
    assert task.score(first(task), "x").feedback.startswith("it is ")
    for split in ("validation", "test"):
        assert task.score(first(task, split), "x").feedback == "Wrong.", f"{split} feedback must say nothing"


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (lambda c, row: None, "returned None"),
        (lambda c, row: 1 / 0, "raised ZeroDivisionError"),
        (lambda c, row: float("nan"), "outside [0, 1]"),
        (lambda c, row: np.float64("inf"), "outside [0, 1]"),
        (lambda c, row: 1.01, "outside [0, 1]"),
        (lambda c, row: -1, "outside [0, 1]"),
        (lambda c, row: "1.0", "returned str, not a number"),
        (lambda c, row: (0.5, 3), "feedback is int, not text"),
        (lambda c, row: (0.5, "a", "b"), "returned tuple, not a number"),
        (lambda c, row: (None, "a"), "returned NoneType, not a number"),
        (lambda c, row: 10**400, "too large"),
    ],
)
def test_a_failing_scorer_leaves_the_rollout_unscored_and_is_logged_once(scorer, reason, tmp_path, caplog):
    task = JsonlTask(write(tmp_path, ROWS), scorer=scorer)
    with caplog.at_level(logging.WARNING):
        verdicts = [task.score(first(task), "x") for _ in range(3)]
    assert all(v.reward is None and reason in v.info["unscored"] for v in verdicts), verdicts
    assert len(caplog.records) == 1, "one line for one reason"
    assert f"a rollout of line {first(task).payload['line']} is unscored" in caplog.text, "where a person finds it"
    assert task.answer(first(task)) is None, "an answer that cannot be verified is none"


def test_an_answer_that_the_scorer_does_not_accept_is_not_handed_out(tmp_path):
    task = JsonlTask(write(tmp_path, ROWS), scorer=lambda c, row: float(c == "else"))
    assert task.answer(first(task)) is None


def test_a_scorer_cannot_change_the_row(tmp_path):
    task = JsonlTask(write(tmp_path, ROWS), scorer=lambda c, row: float(row.pop("answer") == int(c)))
    example = first(task)
    assert [task.score(example, str(example.payload["row"]["answer"])).reward for _ in range(2)] == [1.0, 1.0]


def test_a_scorer_is_found_by_its_dotted_path(tmp_path, monkeypatch):
    (tmp_path / "my_scorer.py").write_text(
        "def score(completion, row):\n    return completion == row['gold'], 'hint'\nX = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path, [{"prompt": str(i), "gold": str(-i)} for i in range(5)])
    task = resolve_task(f"jsonl:{path}?scorer=my_scorer:score&question=prompt&answer=gold")
    assert task.answer(task.split("train")[0]) is not None
    assert task.name == f"jsonl:{path}?answer=gold&question=prompt&scorer=my_scorer:score"
    for scorer, said in (
        ("my_scorer:scor", "has no 'scor'"),
        ("nowhere:score", "importing"),
        ("my_scorer:X", "not a function"),
    ):
        with pytest.raises(BadInput, match=said):
            resolve_task(f"jsonl:{path}?scorer={scorer}&question=prompt&answer=gold")


GOOD = {"question": "q", "answer": "a"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ["is empty"]),
        (["", "  "], ["is empty"]),
        ([GOOD, '{"question": "b", '], ["line 2 is not JSON"]),
        ([GOOD, "", "[" * 100_000], ["line 3 is not JSON"]),
        ([GOOD, "[1]"], ["line 2 is a JSON list", "one object a line"]),
        ([GOOD, {"quesiton": "b", "answer": "a"}], ["line 2 has no column 'question'", "Did you mean 'quesiton'?"]),
        ([GOOD, {"question": 3, "answer": "a"}], ["line 2 has neither text nor chat turns"]),
        ([GOOD, {"question": [], "answer": "a"}], ["line 2 has neither text nor chat turns"]),
        ([GOOD, {"question": " ", "answer": "a"}], ["line 2 has an empty question"]),
        ([GOOD, '{"question": "\\ud800", "answer": "a"}'], ["line 2 has half a surrogate pair"]),
        ([{"messages": [{"role": "system", "content": "s"}], "answer": "a"}], ["line 1 has a system turn", "context"]),
        ([{"messages": [{"role": "assistant", "content": "s"}], "answer": "a"}], ["line 1", "ends with an assistant"]),
        (
            [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "s"}], "answer": "a"}],
            ["line 1", "leave out the last reply"],
        ),
        ([{"messages": [{"role": "tool", "content": "s"}], "answer": "a"}], ["line 1", "user or assistant turn"]),
        ([{"messages": ["s"], "answer": "a"}], ["line 1", "other than a user or assistant turn"]),
        ([GOOD, {"question": "b"}], ["line 2 has no text or number as 'answer'"]),
        ([{"question": "b"}], ["nothing to score with", "scorer="]),
        ([{**GOOD, "id": 1}, {"question": "b", "answer": "a", "id": "1"}], ["lines 1 and 2 have the same id '1'"]),
        ([{**GOOD, "id": 1}, {"question": "b", "answer": "a"}], ["line 2", "every row an id, or none"]),
        (
            [{**GOOD, "split": "train"}, {"question": "b", "answer": "a"}],
            ["line 2 has None as 'split'", "every row or none"],
        ),
        ([{**GOOD, "split": "dev"}], ["line 1 has 'dev' as 'split'", "train, validation, test"]),
        ([{**GOOD, "split": ["train"]}], ["line 1 has ['train'] as 'split'"]),
        ([{**GOOD, "split": "train"}, {**GOOD, "split": "test"}], ["lines 1 and 2 ask the same question", "leaks"]),
        ([GOOD, GOOD, {"question": "b", "answer": "a"}], ["2 distinct questions are too few"]),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_the_place(lines, said, tmp_path):
    with pytest.raises(BadInput) as caught:
        JsonlTask(write(tmp_path, lines))
    message = str(caught.value)
    assert "\n" not in message, "one line"
    for part in said:
        assert part in message, f"{part!r} is missing from: {message}"


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        JsonlTask(tmp_path / "missing.jsonl")
    with pytest.raises(BadInput, match="directory"):
        JsonlTask(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "a"}\n{"question": "\xe9"}\n')
    with pytest.raises(BadInput, match="line 2 is not UTF-8"):
        JsonlTask(tmp_path / "latin.jsonl")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?scorrer=a:b", "no parameter 'scorrer'. Did you mean 'scorer'?"),
        ("?question=promt", "line 1 has no column 'promt'"),
        ("?answer=answr", "no row has the column 'answr'. Did you mean 'answer'?"),
        ("?split=fold", "no row has the column 'fold'"),
    ],
)
def test_parameters_that_name_nothing_are_refused(query, said, tmp_path):
    with pytest.raises(BadInput) as caught:
        resolve_task(f"jsonl:{write(tmp_path, ROWS)}{query}")
    assert said in str(caught.value)
