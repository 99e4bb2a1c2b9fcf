"""Files and folders are replaced as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastslow.files import atomic


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "text").write_text(text)
    return path


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    atomic.write_file(path, b"old")
    atomic.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    atomic.write_file(path, b"old")

    def full(place: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(OSError, match="disk full"):
        atomic.write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = folder(tmp_path / "bundle", "old")
    atomic.put_in_place(folder(tmp_path / "bundle.tmp", "new"), path)
    assert (path / "text").read_text() == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_folder_takes_the_place_of_a_link_and_not_of_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = folder(tmp_path / "elsewhere", "theirs")
    path = tmp_path / "bundle"
    path.symlink_to(elsewhere)
    atomic.put_in_place(folder(tmp_path / "bundle.tmp", "new"), path)
    assert not path.is_symlink()
    assert (path / "text").read_text() == "new"
    assert (elsewhere / "text").read_text() == "theirs"


def test_a_deletion_that_is_cut_off_leaves_no_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "checkpoint-1", "text")
    calls = []

    def cut_off(place: Path) -> None:
        calls.append(place)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "remove", cut_off)
    with pytest.raises(KeyboardInterrupt):
        atomic.discard(path)
    assert os.listdir(tmp_path) == ["checkpoint-1.old.tmp"]


def test_what_is_not_there_is_removed_without_a_word(tmp_path: Path) -> None:
    atomic.remove(tmp_path / "never")


def test_a_removed_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = folder(tmp_path / "elsewhere", "theirs")
    (tmp_path / "link").symlink_to(elsewhere)
    atomic.remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["elsewhere"]
    assert (elsewhere / "text").exists()


def test_syncing_opens_nothing_that_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        atomic.sync(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_the_disk_does_not_take_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_file(tmp_path / "x", b"after")
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"before"
