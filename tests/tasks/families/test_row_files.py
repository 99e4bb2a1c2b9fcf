"""Rows of files, one after another, from any row on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastslow.files.jsonl import BadLine
from fastslow.tasks.families.row_files import read_rows, readable

ROWS = [{"question": f"Q{i}?", "answer": i} for i in range(50)]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    import json

    import pyarrow
    from pyarrow import parquet

    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" + "\n" * (i % 3 == 0) for i, row in enumerate(rows)))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=8)
    return str(path)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
@pytest.mark.parametrize("skip", [0, 1, 7, 8, 19, 20, 21, 49, 50, 51])
def test_rows_of_several_files_are_read_from_any_row_on(tmp_path: Path, ending: str, skip: int) -> None:
    paths = [write(tmp_path / f"a{ending}", ROWS[:20]), write(tmp_path / f"b{ending}", ROWS[20:])]
    assert list(read_rows(paths, skip)) == ROWS[skip:]


def test_both_kinds_are_readable_and_others_are_not(tmp_path: Path) -> None:
    assert readable(["a.parquet", "hf://datasets/x/b.jsonl"])
    assert not readable(["a.parquet", "b.csv"])
    assert not readable(["a.jsonl.gz"])
    assert not readable([])


def test_row_groups_that_are_skipped_are_not_read(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.parquet", ROWS))
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36  # the first row group is damaged
    path.write_bytes(content)
    assert list(read_rows([str(path)], 16)) == ROWS[16:]


@pytest.mark.parametrize("skip", [0, 3, 10, 30])
def test_a_damaged_line_has_its_number_in_the_file(tmp_path: Path, skip: int) -> None:
    path = Path(write(tmp_path / "a.jsonl", ROWS))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:60], "{\n", *lines[60:]]))
    with pytest.raises(BadLine, match=r"^line 61 "):
        list(read_rows([str(path)], skip))


@pytest.mark.parametrize("name", ["a::b.jsonl", "file:x.jsonl", "s3:b.parquet"])
def test_a_file_that_is_here_is_read_whatever_its_name(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, ROWS)
    assert list(read_rows([name], 7)) == ROWS[7:]
