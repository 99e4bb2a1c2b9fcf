"""One refusal names every row that cannot be used, the way a person counts rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.families.faults import SHOWN, BadRow, Faults
from fastslow.tasks.resolve import resolve_task
from tests.tasks.families.test_reader import FORMATS, good, refused, write


def faults_at(*numbers: int) -> Faults:
    faults = Faults("t", "line")
    for number in numbers:
        faults.add(BadRow(number, "is bad", "; mend it."))
    return faults


def test_one_fault_is_told_by_itself() -> None:
    with pytest.raises(BadInput) as told:
        faults_at(3).refuse()
    assert str(told.value) == "task 't': line 3 is bad; mend it."


def test_of_more_faults_than_are_shown_the_others_are_counted() -> None:
    with pytest.raises(BadInput) as told:
        faults_at(*range(1, SHOWN + 8)).refuse()
    assert str(told.value).endswith("In all, 17 lines cannot be used: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 7 more.")


def test_no_fault_is_no_refusal() -> None:
    faults_at().refuse()


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_tells_of_all_rows_that_are_wrong_and_of_what_is_wrong(ending: str, tmp_path: Path) -> None:
    rows = good()
    rows[1]["answer"] = rows[6]["answer"] = ""
    rows[4]["question"] = " "
    said = refused(write(tmp_path, ending, rows))
    place = "line" if ending == ".jsonl" else "row"
    assert f"{place} 2 has no text or number as 'answer' (it is empty)" in said
    assert f"In all, 3 {place}s cannot be used: 2, 5 (has an empty question), 7." in said, said


def test_a_table_has_the_same_row_numbers_in_every_format_and_csv_says_how_it_counts(tmp_path: Path) -> None:
    rows = good()
    rows[2]["answer"] = ""
    said = {ending: refused(write(tmp_path, ending, rows)) for ending in FORMATS}
    assert {ending for ending, text in said.items() if "row 3 has" in text} == set(FORMATS) - {".jsonl"}
    assert "line 3 has" in said[".jsonl"]
    assert [ending for ending, text in said.items() if "Row 1 is the first below the header." in text] == [".csv"]


def test_damaged_lines_are_all_named(tmp_path: Path) -> None:
    lines = [*map(json.dumps, good(4)), "{", json.dumps(good(5)[4]), "[1]"]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    assert "In all, 2 lines cannot be used: 5, 7 (is a JSON list)." in refused(f"jsonl:{tmp_path}/t.jsonl")


def test_repeated_ids_and_leaks_stand_among_the_faults(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": f"q{i}", "answer": "1", "id": f"i{i}", "split": "train" if i else "validation"} for i in range(6)
    ]
    rows[3]["id"], rows[5]["question"] = "i2", "q0"
    said = refused(write(tmp_path, ".jsonl", rows))
    assert "lines 3 and 4 have the same id 'i2'; change one." in said
    assert "2 lines cannot be used: 4, 6 (ask the same question in two splits (validation and train)" in said


def test_rows_of_public_data_without_a_column_are_all_named(tmp_path: Path) -> None:
    rows = [{"problem": f"p{i}", "answer": "1"} for i in range(6)]
    rows[1], rows[4] = {"answer": "1"}, {"answer": "2"}
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "2 lines cannot be used: 2, 5." in refused(f"polaris?path={tmp_path}/t.jsonl")


def test_the_same_data_without_the_wrong_rows_is_taken(tmp_path: Path) -> None:
    assert resolve_task(write(tmp_path, ".csv", good())).split("train")
