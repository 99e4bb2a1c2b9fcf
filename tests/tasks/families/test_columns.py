"""Data whose columns have names of their own: one line says how to name them, and that name works."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.resolve import resolve_task


def write(path: Path, columns: list[str]) -> str:
    """Rows of ten questions, answers and notes under these columns; returns the name of the file."""
    rows = [[f"What is {i} + 1?", str(i + 1), "a note"][: len(columns)] for i in range(10)]
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerows([columns, *rows])
        else:
            file.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
    return str(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["prompt", "gold"], "?answer=gold&question=prompt"),
        (["question", "solution"], "?answer=solution"),
        (["Problem", "answer"], "?question=Problem"),
        (["a & b", "c d"], "?answer=c d&question=a %26 b"),
    ],
)
def test_the_name_that_the_refusal_gives_is_a_task(tmp_path: Path, ending: str, columns: list[str], named: str) -> None:
    file = write(tmp_path / f"data.{ending}", columns)
    with pytest.raises(BadInput, match="its columns are") as refused:
        resolve_task(file)
    said = str(refused.value)
    assert "\n" not in said
    family = "hf" if ending == "csv" else "jsonl"
    assert re.findall("as in '(.*?)'", said) == [f"{family}:{file}{named}"]
    assert resolve_task(f"{family}:{file}{named}").split("train")[0].messages[0]["content"].startswith("What is")


@pytest.mark.parametrize("prefix", ["", "csv:", "hf:", "jsonl:"])
def test_a_plain_file_is_a_task(tmp_path: Path, prefix: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data.csv", ["question", "answer", "note"])
    assert resolve_task(f"{prefix}data.csv").name == "hf:data.csv"


def test_a_file_is_read_and_no_module_of_its_name_is_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text("raise SystemExit('was run')")
    write(tmp_path / "data.csv", ["question", "answer"])
    assert len(resolve_task("data.csv").split("train")) == 6


def test_where_nothing_can_stand_for_a_column_no_name_is_given(tmp_path: Path) -> None:
    file = write(tmp_path / "data.csv", ["question"])
    with pytest.raises(BadInput, match=r"nothing to score with: no column 'answer'; its columns are question\."):
        resolve_task(file)
