"""Readers of files lose nothing in silence: long fields are read, and a column or key that stands twice is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from fastslow.core.errors import BadInput
from fastslow.tasks.resolve import resolve_task

ROWS = [{"question": f"q{i}", "answer": str(i)} for i in range(5)]
QUERY = "?question=question&answer=answer"


def refused(spec: str) -> str:
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert "\n" not in str(caught.value), "one line"
    return str(caught.value)


def csv_text(header: str, rows: int = 5, ending: str = "\n") -> str:
    return ending.join([header, *(f"q{i},{i},{i}" for i in range(rows)), ""])


def every(spec: str) -> list:
    task = resolve_task(spec)
    return [e for split in ("train", "validation", "test") for e in task.split(split)]


def test_a_field_of_any_length_is_read_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "x" * 200_000
    (tmp_path / "long.csv").write_text(f'question,answer\n"{long}",1\nb,2\nc,"{long}"\n')
    found = every(f"hf:{tmp_path}/long.csv{QUERY}")
    assert sorted(len(e.question) for e in found) == [1, 1, 200_000]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("header", "twice"),
    [("question,answer,answer", "answer"), ("question,question,answer", "question"), (",,answer", "")],
)
@pytest.mark.parametrize("folder", [False, True])
def test_a_column_that_stands_twice_is_refused(folder: bool, header: str, twice: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text(csv_text(header))
    said = refused(f"hf:{tmp_path}/data{'' if folder else '/train.csv'}{QUERY}")
    assert f"has the column '{twice}' twice" in said


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    columns = [pyarrow.array(["a", "b", "c"])] * 3
    parquet.write_table(
        pyarrow.Table.from_arrays(columns, names=["question", "answer", "answer"]), tmp_path / "t.parquet"
    )
    assert "has the column 'answer' twice" in refused(f"hf:{tmp_path}/t.parquet{QUERY}")


@pytest.mark.parametrize(
    "row",
    [
        '{"question": "x", "answer": "1", "answer": "2"}',
        '{"question": "x", "answer": "1", "more": {"a": 1, "a": 2}}',
        '{"question": "x", "answer": "1", "more": [{"b": [{"a": 1, "a": 1}]}]}',
        '{"question": [{"role": "user", "content": "a", "content": "b"}], "answer": "1"}',
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".json", "lines.json"])
def test_a_key_that_stands_twice_at_any_depth_is_refused_with_its_row(ending: str, row: str, tmp_path: Path) -> None:
    lines = [*map(json.dumps, ROWS[:2]), row, *map(json.dumps, ROWS[2:])]
    path = tmp_path / f"rows{ending}"
    path.write_text("[" + ", ".join(lines) + "]" if ending == ".json" else "\n".join(lines))
    said = refused(f"hf:{path}{QUERY}")
    assert ("row 3" if ending == ".json" else "line 3") in said, said
    assert "twice in one object; keep one of them" in said


def test_claims_and_pages_with_a_key_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").write_text('{"uid": 1, "claim": "a", "claim": "b"}\n')
    (tmp_path / "corpus.jsonl").write_text('{"title": "a", "title": "b", "text": "c"}\n')
    assert "the key 'claim' twice" in refused(f"hover?path={tmp_path}/claims.jsonl&corpus={tmp_path}/corpus.jsonl")
    good = {"uid": 1, "claim": "a", "supporting_facts": [["a", 0]], "label": "SUPPORTED", "num_hops": 2}
    (tmp_path / "claims.jsonl").write_text(json.dumps(good))
    assert "the key 'title' twice" in refused(f"hover?path={tmp_path}/claims.jsonl&corpus={tmp_path}/corpus.jsonl")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_change_no_row(mark: str, ending: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes((mark + csv_text("question,answer,more", ending=ending)).encode())
    assert sorted(e.question for e in every(f"hf:{tmp_path}/t.csv{QUERY}")) == [f"q{i}" for i in range(5)]


@pytest.mark.parametrize("cut", ['q9,"half a fie', "q9"])
def test_a_file_that_was_cut_in_its_last_line_is_refused(cut: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv_text("question,answer,more") + cut)
    assert "t.csv" in refused(f"hf:{tmp_path}/t.csv{QUERY}")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS) + '{"question": "q9", "ans')
    assert "line 6" in refused(f"jsonl:{tmp_path}/t.jsonl")


def test_a_row_with_more_or_fewer_fields_is_refused_with_its_number(tmp_path: Path) -> None:
    for row in ("q9,9", "q9,9,9,9"):
        (tmp_path / "t.csv").write_text(csv_text("question,answer,more", rows=3) + row + "\n")
        assert "row 4" in refused(f"hf:{tmp_path}/t.csv{QUERY}")


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_a_file_with_another_separator_says_so(mark: str, name: str, folder: bool, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("question,answer\nq0,1\nq1,2,5\nq3,4\n".replace(",", mark))
    said = refused(f"hf:{tmp_path}/data{'' if folder else '/train.csv'}{QUERY}")
    assert f"the columns of 'train.csv' are separated by {name}; save it with commas" in said


@pytest.mark.parametrize(("row", "fields"), [("q9,9", "2 fields"), ("q9,9,9,9", "4 fields"), ("q9", "1 field")])
def test_ragged_rows_are_counted_and_the_refusal_says_how_to_quote(row: str, fields: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv_text("question,answer,more", rows=3) + row + "\n" + row + "\n")
    said = refused(f"hf:{tmp_path}/t.csv{QUERY}")
    assert f"row 4 of 't.csv' has {fields} and the header 3; put fields with a comma" in said
    assert "into double quotes. In all, 2 rows cannot be used: 4, 5. Row 1 is the first below the header." in said
