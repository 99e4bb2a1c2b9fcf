"""Rows of every format: what means "missing" is refused, what is damaged is refused or reported, each with its row."""

from __future__ import annotations

import csv
import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from fastslow.core.errors import BadInput
from fastslow.tasks.check import check_task
from fastslow.tasks.families.reader import answer_text
from fastslow.tasks.families.rows import Rows, RowsTask
from fastslow.tasks.resolve import resolve_task

SPLITS = ("train", "validation", "test")
QUERY = "?question=question&answer=answer"


def good(count: int = 8, **changed: Any) -> list[dict[str, Any]]:
    return [{"question": f"What comes after {i}?", "answer": str(i + 1), **changed} for i in range(count)]


def with_row(place: int, **changed: Any) -> list[dict[str, Any]]:
    """Eight good rows, of which one (counted from 1) is changed."""
    rows = good()
    rows[place - 1] = {**rows[place - 1], **changed}
    return rows


def write(folder: Path, ending: str, rows: list[dict[str, Any]]) -> str:
    """Write the rows in a format, and return the name of the task that reads them."""
    path = folder / f"rows{ending}"
    if ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"jsonl:{path}"
    if ending == ".json":
        path.write_text(json.dumps(rows))
    elif ending == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif ending == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif ending == "-saved":
        datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return f"hf:{path}{QUERY}"


def refused(spec: str, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        resolve_task(spec, **options)
    assert "\n" not in str(caught.value), "one line"
    assert str(caught.value).isprintable(), "which a terminal can show"
    return str(caught.value)


def scored(spec: str, scorer: str) -> str:
    return f"{spec}{'&' if '?' in spec else '?'}scorer={scorer}" if scorer else spec


FORMATS = (".jsonl", ".json", ".csv", ".parquet", "-saved")


@pytest.mark.parametrize("scorer", ["", "exact", "contains", "number", "boxed", "choice", "json", "regex"])
@pytest.mark.parametrize("value", ["", "  ", "\u200b", "\t\n"])
def test_a_blank_answer_is_refused_with_its_row(value: str, scorer: str, tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "A" if scorer == "choice" else "1"} for i in range(8)]
    rows[2]["answer"] = value
    said = refused(scored(write(tmp_path, ".jsonl", rows), scorer))
    assert "line 3" in said
    assert "empty" in said


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("value", ["", None])
def test_every_format_refuses_a_missing_answer(ending: str, value: Any, tmp_path: Path) -> None:
    said = refused(write(tmp_path, ending, with_row(3, answer=value)))
    assert ("line 3" if ending == ".jsonl" else "row 3") in said, said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("scorer", ["", "exact", "number", "boxed", "json"])
@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet", "-saved"])
def test_a_number_that_is_none_is_refused_with_its_row(ending: str, scorer: str, value: float, tmp_path: Path) -> None:
    rows = [{**row, "answer": float(row["answer"])} for row in good()]
    rows[4]["answer"] = value
    said = refused(scored(write(tmp_path, ending, rows), scorer))
    assert ("line 5" if ending == ".jsonl" else "row 5") in said, said
    assert "NaN" in said or "not finite" in said


def test_a_number_too_large_for_json_is_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in good()) + '{"question": "last", "answer": 1e999}\n')
    assert "line 9" in refused(f"jsonl:{path}")


@pytest.mark.parametrize("word", ["inf", "Infinity", "-Infinity", "NaN", "nan"])
def test_a_word_for_no_number_is_refused_by_the_scorer_of_numbers(word: str, tmp_path: Path) -> None:
    assert "row 2" in refused(scored(write(tmp_path, ".csv", with_row(2, answer=word)), "number"))


@pytest.mark.parametrize("value", [["2"], ["2", "3"], [], {"a": 1}, {}, [[1], 2]])
@pytest.mark.parametrize("scorer", ["", "exact", "contains", "number", "boxed", "choice", "regex"])
def test_a_list_or_object_is_no_answer_for_a_scorer_of_text(scorer: str, value: Any, tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "A" if scorer == "choice" else "1"} for i in range(8)]
    rows[3]["answer"] = value
    said = refused(scored(write(tmp_path, ".jsonl", rows), scorer))
    assert "line 4" in said
    assert "?scorer=json" in said, "the message says what reads it"


def test_lists_and_objects_are_answers_for_the_scorer_of_values(tmp_path: Path) -> None:
    rows = [{**row, "answer": [int(row["answer"]), {"a": None}]} for row in good()]
    task = resolve_task(scored(write(tmp_path, ".jsonl", rows), "json"))
    assert task.answer(task.split("train")[0]) is not None


@pytest.mark.parametrize("value", [[float("nan")], {"a": float("inf")}])
def test_no_number_deep_in_a_value_is_none(value: Any, tmp_path: Path) -> None:
    assert "line 2" in refused(scored(write(tmp_path, ".jsonl", with_row(2, answer=value)), "json"))


@pytest.mark.parametrize("value", ["None", "null", "NA", "no", "nil", "0", "false"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_word_that_can_be_an_answer_is_one(ending: str, value: str, tmp_path: Path) -> None:
    task = resolve_task(write(tmp_path, ending, with_row(1, answer=value)))
    every = [example for split in SPLITS for example in task.split(split)]
    assert value in [example.payload["answer"] for example in every]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (7, "7"), (0.5, "0.5"), (1e22, "1e+22"), ("x", "x"), (" x ", " x "), (Decimal("1.50"), "1.50"),
        (Decimal("NaN"), None), (Decimal("-Infinity"), None), (None, None), ("", None), (b"x", None), ([1], None),
    ],
)  # fmt: skip
def test_what_is_an_answer(value: Any, text: str | None) -> None:
    assert answer_text(value) == text


def test_a_scorer_of_ones_own_does_without_answers_and_is_offered_none(tmp_path: Path) -> None:
    rows = good()
    for row, value in zip(rows, ["", None, float("nan"), ["a"], "  "], strict=False):
        row["answer"] = value
    task = RowsTask("own", "own", Rows(list(enumerate(rows, 1))), scorer=lambda completion, row: 1.0)
    assert {task.answer(e) for split in SPLITS for e in task.split(split)} == {None, '["a"]', "6", "7", "8"}
    assert task.doubts.remarks["there is no answer"] == [f"row {n}" for n in (1, 2, 3, 5)]


def test_a_list_or_an_object_is_an_answer_where_a_scorer_of_ones_own_takes_it_for_one(tmp_path: Path) -> None:
    """It may also hold several answers, or more than the answer: then there is none to show, and nothing is wrong."""
    for value in ({"text": ["a", "b"]}, ["a", "b"]):
        rows = [{**row, "answer": value} for row in good()]
        for scorer, shown in ((lambda text, row: text == json.dumps(row["answer"]), json.dumps(value)),
                              (lambda text, row: text in str(row["answer"]), None)):  # fmt: skip
            task = RowsTask("own", "own", Rows(list(enumerate(rows, 1))), scorer=lambda t, r, s=scorer: float(s(t, r)))
            example = task.split("train")[0]
            assert task.answer(example) == task.stated_answer(example) == shown
            assert example.payload["answer"] == json.dumps(value), "no context may copy that of a held-out question"
            assert not task.doubts.remarks


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("column", ["question", "answer"])
def test_a_command_whose_backslash_was_eaten_is_refused_with_its_row(column: str, ending: str, tmp_path: Path) -> None:
    said = refused(scored(write(tmp_path, ending, with_row(6, **{column: "\frac{1}{7}"})), "boxed"))
    assert ("line 6" if ending == ".jsonl" else "row 6") in said, said
    assert r"'\frac' was meant" in said
    assert column in said


@pytest.mark.parametrize("value", [["\beta"], {"a": ["3\times 4"]}, {"\theta": 1}, '{"a": "\\frac12"}'])
def test_it_is_found_deep_in_a_value(value: Any, tmp_path: Path) -> None:
    assert "was meant" in refused(scored(write(tmp_path, ".jsonl", with_row(2, answer=value)), "json"))


def test_it_is_found_in_any_turn(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": text} for text in ("Let \beta be 3.", "What is it?")]
    assert "line 2" in refused(write(tmp_path, ".jsonl", with_row(2, question=turns)))


@pytest.mark.parametrize("scorer", ["", "exact", "boxed"])
def test_half_a_surrogate_pair_is_no_answer(scorer: str, tmp_path: Path) -> None:
    assert "half a surrogate pair" in refused(scored(write(tmp_path, ".jsonl", with_row(2, answer="a\ud800")), scorer))


@pytest.mark.parametrize("value", ["", " ", "a\nb", "\x00", "\ud800"])
def test_an_id_can_be_shown(value: str, tmp_path: Path) -> None:
    rows = [{**row, "id": str(i)} for i, row in enumerate(good())]
    rows[2]["id"] = value
    assert "line 3" in refused(write(tmp_path, ".jsonl", rows))


@pytest.mark.parametrize("value", ["", " ", "\u200b\ufeff", None, float("nan"), 3, [], [""], {}])
def test_a_row_without_a_question_is_refused_with_its_number(value: Any, tmp_path: Path) -> None:
    assert "line 7" in refused(write(tmp_path, ".jsonl", with_row(7, question=value)))


def mine(*pairs: tuple[str, Any], scorer: str | None = None, **columns: Any) -> RowsTask:
    rows = [{"question": question, "answer": answer, **columns} for question, answer in pairs]
    return RowsTask("mine", "mine", Rows(list(enumerate([*rows, *good()], 1))), scorer=scorer)


def test_two_answers_to_one_question_are_told_with_the_first_two_rows_and_are_not_fit(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        task = mine(("Which?", "a"), ("Which?", "b"), ("Which?", "c"), ("Else?", "d"), ("Else?", "d"))
    assert task.duplicates == 3
    [line] = [line for line in check_task(task).lines() if "different answers" in line]
    assert "(2 examples)" in line
    assert "rows 1 and 2: 'a' and 'b'" in line
    assert sum("different answers" in record.message for record in caplog.records) == 1, "one warning"


@pytest.mark.parametrize(
    ("scorer", "one", "other"), [("number", "0.5", "1/2"), ("json", "[1, 2]", "[1,2]"), ("exact", "a", " a ")]
)
def test_two_spellings_of_one_answer_do_not_contradict(scorer: str, one: str, other: str) -> None:
    others = [(f"q{i}", "1") for i in range(3)]
    rows = [{"question": q, "answer": a} for q, a in [("Which?", one), ("Which?", other), *others]]
    task = RowsTask("mine", "mine", Rows(list(enumerate(rows, 1))), scorer=scorer)
    assert not task.doubts.problems


def test_of_several_turns_all_are_the_question() -> None:
    def turns(first: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": first}, {"role": "user", "content": "Answer now."}]

    rows = [{"messages": turns(f"What is {i}?"), "answer": str(i)} for i in range(8)]
    task = RowsTask("turns", "turns", Rows(list(enumerate(rows, 1))))
    assert not task.doubts.problems, "the closing turn alone is the same"
    assert task.split("train")[0].question.startswith("What is ")
    assert task.split("train")[0].question.endswith("?\n\nAnswer now.")


@pytest.mark.parametrize("other", ["WHAT IS IT?", "What  is\tit?", "What is it\uff1f", "What is\u00a0it?\u200b"])
def test_wordings_that_differ_in_form_alone_stand_in_one_split(other: str) -> None:
    for count in range(3, 12):
        rows = [*good(count), {"question": "What is it?", "answer": "x"}, {"question": other, "answer": "x"}]
        task = RowsTask("mine", "mine", Rows(list(enumerate(rows, 1))))
        homes = {e.split for split in SPLITS for e in task.split(split) if e.payload["answer"] == "x"}
        assert len(homes) == 1, homes
        assert sum(len(task.split(split)) for split in SPLITS) == count + 2, "no row is lost"
        assert any("kept in one split" in remark for remark in check_task(task).remarks)


def test_such_wordings_in_two_splits_of_the_users_are_refused_with_both_rows(tmp_path: Path) -> None:
    rows = [{**row, "split": split} for row, split in zip(good(), [*SPLITS, *(["train"] * 5)], strict=True)]
    rows.append({"question": rows[1]["question"].upper(), "answer": rows[1]["answer"], "split": "train"})
    said = refused(write(tmp_path, ".jsonl", rows))
    assert "lines 2 and 9" in said
    assert "leaks" in said
    rows[-1]["answer"] = "another"
    task = resolve_task(write(tmp_path, ".jsonl", rows))
    assert any("line 2 and line 9: '2' and 'another'" in remark for remark in check_task(task).remarks)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("nan", "a word that programs write for no value"),
        ("<NA>", "a word that programs write for no value"),
        ("1\x00", "a control character or U+FFFD"),
        ("caf\ufffd", "a control character or U+FFFD"),
        ("a\tan(x)", "may have lost a command"),
    ],
)
def test_a_doubtful_answer_is_not_fit_and_train_warns_of_its_row(answer: str, problem: str, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        task = mine(("Which?", answer))
    [line] = [line for line in check_task(task).lines() if problem in line]
    assert "row 1" in line
    assert any(problem in record.message and "row 1" in record.message for record in caplog.records)


def test_a_word_that_may_be_an_answer_is_reported_and_in_most_rows_not_fit() -> None:
    report = check_task(mine(("What does print() return?", "None")))
    assert not report.problems
    assert any("row 1, 'None'" in remark for remark in report.remarks)
    report = check_task(mine(*((f"q{i}", "None") for i in range(9))))
    assert any("programs write where there is none" in line for line in report.lines())


@pytest.mark.parametrize(
    "answer", ["-", "--", "?", "???", "...", "\u2026", "TBD", "tbd", "ToDo", "Unknown", "n.a.", "___"]
)
def test_what_stands_in_for_an_answer_is_reported_and_in_most_rows_not_fit(answer: str) -> None:
    report = check_task(mine(*[(f"q{i}", answer if i == 2 else str(i)) for i in range(8)]))
    said = "the right answer is what people write where they have none; is it meant?"
    assert not report.problems
    assert f"{said}: row 3, {answer!r}" in report.remarks
    assert any(said in line for line in check_task(mine(*[(f"q{i}", answer) for i in range(9)])).lines())


@pytest.mark.parametrize("answer", ["x", "+", "*", "0", "no", "A", "unknown planet", "-1", "\\ldots 5"])
def test_an_answer_that_only_looks_like_it_is_not_reported(answer: str) -> None:
    report = check_task(mine(*[(f"q{i}", answer if i == 2 else str(i)) for i in range(8)]))
    assert not any("people write" in remark for remark in report.remarks)


def test_whole_numbers_that_became_floats_are_reported_where_letters_are_compared() -> None:
    said = "24 is wrong for 24.0"
    assert any(said in remark for remark in check_task(mine(("q", 24.0))).remarks)
    assert not any(said in remark for remark in check_task(mine(("q", 24.0), scorer="number")).remarks)


def test_control_characters_in_a_question_are_reported() -> None:
    report = check_task(mine(("a\x00b", "1"), ("Let\nu_1 be", "1")))
    assert any("row 1 (U+0000)" in remark for remark in report.remarks)
    assert any("row 2, perhaps a line feed where" in remark for remark in report.remarks)
