"""Data sets of `hf:`: a column `split` divides the rows as it does for `jsonl:`, or a warning says that it does not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from fastslow.tasks.resolve import resolve_task
from tests.tasks.families.test_reader import QUERY, SPLITS, refused, write

FILES = (".jsonl", ".json", ".csv", ".parquet")
PARTS = ("train",) * 5 + ("validation",) * 2 + ("test",)


def divided(*, column: str = "split", words: tuple[str, ...] = PARTS) -> list[dict[str, Any]]:
    return [{"question": f"q{i}", "answer": str(i), column: word} for i, word in enumerate(words)]


def read(folder: Path, ending: str, rows: list[dict[str, Any]], more: str = "") -> dict[str, set[str]]:
    """The questions of each split."""
    spec = write(folder, ending, rows).replace("jsonl:", "hf:")
    task = resolve_task(f"{spec}{'&' if '?' in spec else '?'}{more}" if more else spec)
    return {split: {e.question for e in task.split(split)} for split in SPLITS}


WANTED = {part: {f"q{i}" for i, word in enumerate(PARTS) if word == part} for part in SPLITS}


@pytest.mark.parametrize("ending", [*FILES, "-saved"])
def test_a_split_column_is_obeyed_in_every_format(ending: str, tmp_path: Path) -> None:
    assert read(tmp_path, ending, divided()) == WANTED


@pytest.mark.parametrize("ending", FILES)
def test_the_column_of_a_file_may_have_another_name_or_be_left_out(ending: str, tmp_path: Path) -> None:
    assert read(tmp_path, ending, divided(column="part"), "split=part") == WANTED
    assert read(tmp_path, ending, divided(), "split=") != WANTED


def test_a_column_that_no_row_has_is_refused(tmp_path: Path) -> None:
    spec = write(tmp_path, ".csv", divided())
    assert "no row has the column 'splt'. Did you mean 'split'?" in refused(f"{spec}&split=splt")


@pytest.mark.parametrize("ending", FILES)
def test_another_word_in_a_file_is_refused_with_what_to_do(ending: str, tmp_path: Path) -> None:
    spec = write(tmp_path, ending, divided(words=(*PARTS[:-1], "dev")))
    said = refused(spec)
    assert "8 has 'dev' as 'split'; every row or none says one of train, validation, test; ?split=NAME takes" in said


@pytest.mark.parametrize(("words", "warned"), [(("a", "b") * 4, True), (("train",) * 8, False)])
def test_a_column_of_a_folder_that_says_something_else_is_not_used(
    words: tuple[str, ...], warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path, "-saved", divided(words=words))
    assert sorted(map(len, found.values())) == [1, 1, 6]
    assert ("the column 'split' is not used" in caplog.text) is warned


def test_rows_of_a_file_without_the_column_are_divided_by_content(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "1"} for i in range(8)]
    spec = write(tmp_path, ".csv", rows)
    assert QUERY in spec
    assert {split: len(resolve_task(spec).split(split)) for split in SPLITS} == {
        "train": 6, "validation": 1, "test": 1,
    }  # fmt: skip
