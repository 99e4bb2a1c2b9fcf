"""Where `fastslow eval` writes: refused before a model is loaded, and never over something else."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fastslow.cli.eval import _check_target, _options, _write
from fastslow.core.errors import BadInput


def test_two_spellings_of_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.symlink(tmp_path / "run", tmp_path / "link")
    flags = ["--samples_file", str(tmp_path / "run" / "x"), "--json", str(tmp_path / "link" / "x")]
    with pytest.raises(BadInput, match="file of its own"):
        _options([str(tmp_path / "run"), *flags])


@pytest.mark.parametrize("name", ["/proc/x.jsonl", "a" * 300, "no/such/folder/x"])
def test_a_file_that_cannot_be_made_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        _check_target(tmp_path / name)


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    _check_target(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    os.symlink(tmp_path / "real", tmp_path / "link")
    _write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    _write(tmp_path / "pipe", b"rows")
    reader.join(timeout=10)
    assert read == [b"rows"]
    assert not (tmp_path / "pipe").is_file()
