"""New lines of a file that another process appends to: whole ones, each once, and all again where it was cut back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fastslow.files import tail
from fastslow.files.tail import Tail


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"step": number}).encode() + b"\n" for number in numbers)


def steps(tail: Tail) -> tuple[list[int], bool]:
    rows, anew = tail.news()
    return [row["step"] for row in rows], anew


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_a_line_counts_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    followed = Tail(path)
    assert steps(followed) == ([], False), "the file need not exist yet"
    add(path, lines(1) + b'{"step"')
    assert steps(followed) == ([1], False)
    assert steps(followed) == ([], False)
    add(path, b": 2}\n\xff{\n" + lines(3))
    assert steps(followed) == ([2, 3], False), "a damaged line is left out"


def test_a_file_that_was_cut_back_is_read_again_even_where_it_has_grown_since(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(1, 2, 3))
    followed = Tail(path)
    followed.news()
    path.write_bytes(lines(1, 7, 8, 9, 10))
    assert steps(followed) == ([1, 7, 8, 9, 10], True)
    os.truncate(path, len(lines(1)))
    assert steps(followed) == ([1], True)
    path.unlink()
    assert steps(followed) == ([], True)


def test_of_a_long_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST", 100)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(*range(1000)))
    followed = Tail(path)
    found, anew = steps(followed)
    assert (found, anew) == (list(range(1000 - len(found), 1000)), False)
    assert 1 < len(found) < 10
    add(path, b"x" * 500)
    assert steps(followed) == ([], False)
    add(path, b"\n" + lines(1001))
    assert steps(followed) == ([1001], False)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="not a plain file"):
        Tail(tmp_path / "metrics.jsonl").news()
