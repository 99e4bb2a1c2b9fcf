"""The run directory: files that any reader can trust, and a state that comes back as it was."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.errors import BadInput
from fastslow.files.run_directory import RunDirectory, clean, versions

NAN, INF = float("nan"), float("inf")
TEXT = st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


CONFIG = "seed: 4\n"


def strict(text: str):
    """JSON as any other tool reads it: Python's own reader takes NaN, most do not."""

    def refuse(constant: str):
        raise AssertionError(f"not JSON: {constant}")

    return json.loads(text, parse_constant=refuse)


def test_a_run_is_created_once_and_a_second_one_is_refused_untouched(tmp_path) -> None:
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    run.append("metrics.jsonl", [{"step": 1}])
    before = {p.name: p.read_bytes() for p in run.path.iterdir()}
    with pytest.raises(BadInput, match=r"already holds a run; choose another --output_dir"):
        RunDirectory.create(tmp_path / "run", "seed: 99\n")
    assert {p.name: p.read_bytes() for p in run.path.iterdir()} == before


def test_a_folder_that_holds_anything_else_is_refused_and_an_empty_one_is_taken(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    assert RunDirectory.open(RunDirectory.create(tmp_path / "run", CONFIG).path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.json").write_text("mine")
    with pytest.raises(BadInput, match="not an empty directory"):
        RunDirectory.create(tmp_path / "other", CONFIG)
    assert (tmp_path / "other" / "summary.json").read_text() == "mine"


def test_a_place_where_nothing_can_be_written_is_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="not a directory one can write to"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)


def test_opening_a_folder_that_holds_no_run_is_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="holds no run"):
        RunDirectory.open(tmp_path)
    with pytest.raises(BadInput, match="holds no run"):
        RunDirectory.open(tmp_path / "absent")


@given(st.lists(st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=3), max_size=3))
def test_rows_come_back_in_order_over_several_appends(batches) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        for rows in batches:
            run.append("rows.jsonl", rows)
        assert run.read("rows.jsonl") == [row for rows in batches for row in rows]


def test_one_row_is_one_line_whatever_text_it_holds(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    run.append("rows.jsonl", [{"text": "a\nb\r\nc\vd"}, {"text": "é 日本"}])
    lines = (tmp_path / "rows.jsonl").read_bytes().decode().split("\n")
    assert [strict(line)["text"] for line in lines[:-1]] == ["a\nb\r\nc\vd", "é 日本"]
    assert lines[-1] == "", "the last line must be ended, or the next append would join it"
    assert "日本" in lines[1], "text is kept readable"


def test_a_file_that_was_never_written_has_no_rows(tmp_path) -> None:
    assert RunDirectory(tmp_path).read("absent.jsonl") == []
    assert RunDirectory(tmp_path).summary() == {}


@pytest.mark.parametrize("value", [NAN, INF, -INF, np.float32("nan"), np.float64("inf"), torch.tensor(NAN)])
def test_what_json_has_no_word_for_becomes_null_at_any_depth(tmp_path, value) -> None:
    row = {"kl": value, "deep": [{"x": (value, 1.5)}]}
    run = RunDirectory(tmp_path)
    run.append("rows.jsonl", [row])
    run.write_json("summary.json", row)
    for text in ((tmp_path / "rows.jsonl").read_text(), (tmp_path / "summary.json").read_text()):
        assert strict(text) == {"kl": None, "deep": [{"x": [None, 1.5]}]}
    assert run.summary() == strict((tmp_path / "summary.json").read_text())


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    found = clean({"a": np.float32(0.5), "b": np.int64(3), "c": torch.tensor(2), "d": np.bool_(True), 4: {5}})
    assert found == {"a": 0.5, "b": 3, "c": 2, "d": True, "4": [5]}
    assert json.loads(json.dumps(found)) == found


@given(JSON)
def test_what_is_json_already_is_left_as_it_is(value) -> None:
    assert clean(value) == value


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    run.write_bytes("deep/file.txt", b"old and long")
    run.write_bytes("deep/file.txt", b"new")
    assert (tmp_path / "deep/file.txt").read_text() == "new"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_a_write_that_fails_keeps_the_old_text(tmp_path, monkeypatch) -> None:
    run = RunDirectory(tmp_path)
    run.write_bytes("summary.json", b"{}")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.write_bytes("summary.json", b"new")
    assert (tmp_path / "summary.json").read_text() == "{}"


def test_versions_name_the_libraries_results_depend_on() -> None:
    found = versions()
    assert {"python", "torch", "transformers", "trl", "gepa"} <= set(found)
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("text", ["a\u2028b\u2029c\x85d", "half \ud800 of a pair", "null \x00 and tab \t"])
def test_whatever_a_model_may_say_survives_the_file(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    run.append("said.jsonl", [{"text": text}, {"text": "next"}])
    assert [row["text"] for row in run.read("said.jsonl")] == [text, "next"]
    run.write_json("said.json", {"text": text})
    assert json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))["text"] == text
