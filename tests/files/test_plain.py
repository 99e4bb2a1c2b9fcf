"""Files that may come from anybody are read only where they are plain and have an end in sight."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastslow.files.plain import MOST, problem_with, read_plain


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}\xff")
    assert read_plain(tmp_path / "a.json", most=3) == b"{}\xff"
    assert problem_with(tmp_path / "a.json") is None


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"1234")
    with pytest.raises(ValueError, match="4 bytes"):
        read_plain(tmp_path / "a.json", most=3)


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_bytes(b"{}")
    (tmp_path / "a.json").symlink_to(tmp_path / "there.json")
    with pytest.raises(ValueError, match="not a plain file"):
        read_plain(tmp_path / "a.json")
    assert problem_with(tmp_path / "a.json") == "is not a plain file"


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a plain file"):
            read_plain(path)
        assert problem_with(path) == "is not a plain file"


def test_only_what_is_parsed_as_a_whole_has_a_limit(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "tokenizer.json", "chat_template.jinja", "merges.txt"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, MOST + 1)
        problem = problem_with(tmp_path / name)
        assert (problem is None) == (name == "weights.safetensors"), problem
