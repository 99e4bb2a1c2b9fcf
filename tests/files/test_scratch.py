"""What a killed process left in the folder for temporary files is removed by the next one, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fastslow.files.locks import LOCK
from fastslow.files.scratch import scratch

PREFIX = "fastslow-test-"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(temporary: Path, name: str = f"{PREFIX}left") -> Path:
    """A folder as a killed process leaves it."""
    folder = temporary / name
    (folder / "model").mkdir(parents=True)
    (folder / LOCK).touch()
    (folder / "model/weights").write_bytes(b"x")
    return folder


def test_a_folder_is_removed_at_its_end_and_what_was_left_at_the_next_beginning(temporary: Path) -> None:
    dead = left(temporary)
    with scratch(PREFIX) as folder:
        assert not dead.exists()
        (folder / "model").mkdir()
        assert folder.parent == temporary
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_living_process_stays(temporary: Path) -> None:
    with scratch(PREFIX) as living, scratch(PREFIX) as other:
        assert living.is_dir()
        assert other.is_dir()


def test_what_is_no_folder_of_ours_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = left(temporary, "elsewhere")
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}file").touch()
    (temporary / f"{PREFIX}new").mkdir()  # just being made
    linked = temporary / f"{PREFIX}lock-is-a-link"
    linked.mkdir()
    (linked / LOCK).symlink_to(elsewhere / LOCK)
    fifo = temporary / f"{PREFIX}lock-is-a-fifo"
    fifo.mkdir()
    before = sorted(temporary.rglob("*"))
    with scratch(PREFIX):
        pass
    assert sorted(temporary.rglob("*")) == before
    dead = left(temporary)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with scratch(PREFIX):
        assert dead.exists(), "another user's"


def test_a_link_in_a_folder_that_was_left_is_not_followed(temporary: Path) -> None:
    precious = temporary / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (left(temporary) / "link").symlink_to(precious)
    with scratch(PREFIX):
        pass
    assert (precious / "file").exists()


@pytest.mark.processes
def test_the_folder_of_a_killed_process_is_swept(temporary: Path) -> None:
    code = f"import os; from fastslow.files.scratch import scratch\nwith scratch({PREFIX!r}): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(temporary)}, check=False)
    assert len(list(temporary.iterdir())) == 1
    with scratch(PREFIX) as folder:
        assert list(temporary.iterdir()) == [folder]
