"""Lines of JSON are read whole or named, and a line that a kill cut short is removed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fastslow.files import jsonl


def numbered(content: bytes) -> list[tuple[int, dict]]:
    return list(jsonl.objects(io.BytesIO(content)))


def test_lines_keep_their_numbers_where_blank_lines_lie_between() -> None:
    assert numbered(b'{"a": 1}\n\n  \n{"b": 2}') == [(1, {"a": 1}), (4, {"b": 2})]


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    assert numbered(b'\xef\xbb\xbf{"a": 1}\n') == [(1, {"a": 1})]


def test_a_line_separator_inside_a_text_ends_no_line() -> None:
    assert numbered('{"a": "x\u2028y"}\n'.encode()) == [(1, {"a": "x\u2028y"})]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[1]", "line 2 is a JSON list"),
        (b"{", "line 2 is not JSON"),
        (b"[" * 100_000, "line 2 is not JSON"),
        (b'"\xe9"', "line 2 is not UTF-8"),
    ],
)
def test_a_damaged_line_is_named_with_its_number(line: bytes, problem: str) -> None:
    with pytest.raises(jsonl.BadLine, match=problem):
        numbered(b"{}\n" + line)


def test_a_key_that_stands_twice_is_refused_where_people_wrote_the_file() -> None:
    line = b'{}\n{"a": [{"b": 1, "b": 1}]}\n'
    assert numbered(line)[1] == (2, {"a": [{"b": 1}]}), "our own files are written by json"
    with pytest.raises(jsonl.BadLine, match="line 2 has the key 'b' twice"):
        list(jsonl.objects(io.BytesIO(line), parse=jsonl.loads))


def test_damaged_lines_are_reported_and_skipped_where_that_is_asked_for() -> None:
    damaged: list[jsonl.BadLine] = []
    lines = io.BytesIO(b'{"a": 1}\nnull\n{"b": 2}\n{')
    assert [row for _, row in jsonl.objects(lines, on_damage=damaged.append)] == [{"a": 1}, {"b": 2}]
    assert [line.number for line in damaged] == [2, 4]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert jsonl.read(tmp_path / "never.jsonl") == []


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.append(path, [b'{"a": 1}\n', b'{"a": 2}\n'])
    jsonl.append(path, [b'{"a": 3}\n'], sync=True)
    assert [row["a"] for row in jsonl.read(path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "left"), [(b"", b""), (b"{}\n", b"{}\n"), (b'{}\n{"a"', b"{}\n"), (b"{", b""), (b"\n\n{", b"\n\n")]
)
def test_only_a_line_without_its_end_is_cut(tmp_path: Path, content: bytes, left: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with path.open("r+b") as file:
        jsonl.cut_torn_line(file)
        assert file.read() == left, "and the file stands at its beginning"
    assert path.read_bytes() == left
