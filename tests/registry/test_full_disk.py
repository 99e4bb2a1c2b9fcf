"""A disk that takes no more: what happened is said to have happened, what did not has left nothing behind."""

from __future__ import annotations

import errno
import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.registry.log import LOG, Log
from fastslow.registry.registry import ModelRegistry
from tests.support.disk import KINDS, Disk
from tests.support.registries import bundle, registry_of_two, verdict


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> Path:
    """A registry with two champions and a candidate, in a folder with the bundles."""
    folder = tmp_path_factory.mktemp("whole")
    registry, _, _ = registry_of_two(folder)
    registry.add(bundle(folder / "third", "third"))
    bundle(folder / "fourth", "fourth")
    return folder


COMMANDS: dict[str, Callable[[ModelRegistry, Path], Any]] = {
    "add": lambda registry, folder: registry.add(folder / "fourth"),
    "promote": lambda registry, folder: registry.promote("3", verdict(folder / "third", folder / "second")),
    "force": lambda registry, folder: registry.force("3", "a trial"),
    "rollback": lambda registry, folder: registry.rollback(),
}


def copied(whole: Path, target: Path) -> ModelRegistry:
    shutil.copytree(whole / "registry", target)
    return ModelRegistry.open(target)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def state(registry: ModelRegistry) -> tuple[Any, ...]:
    return registry.aliases(), registry.versions(), [entry.event for entry in registry.entries()]


def tried(registry: ModelRegistry, folder: Path, command: str) -> bool:
    """Give a command on a failing disk; whether it is said to have happened is whether it has."""
    before = state(registry)
    try:
        COMMANDS[command](registry, folder)
    except BadInput as refused:
        problem = str(refused)
    else:
        problem = ""
    assert problem.isprintable()
    assert (state(registry) != before) == (not problem), problem
    return not problem


@pytest.mark.parametrize("command", COMMANDS)
def test_at_whatever_operation_the_disk_fails_the_command_says_what_is_so(
    command: str, whole: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patches:
        counting = Disk(tmp_path / "0", patches.setattr)
        tried(copied(whole, tmp_path / "0" / "r"), whole, command)
    happened = []
    for kind in KINDS:
        for at in range(1, counting.counts[kind] + 1):
            registry = copied(whole, tmp_path / f"{kind}{at}" / "r")
            with pytest.MonkeyPatch.context() as patches:
                disk = Disk(registry.folder, patches.setattr, kind, at, errno.ENOSPC)
                happened.append(tried(registry, whole, command))
            assert disk.struck
            if not happened[-1]:
                assert tried(registry, whole, command), f"{kind} {at}: the command is given again"
            registry.add(whole / "first")
            assert registry.verify() == [], f"{kind} {at}"
    assert set(happened) == {True, False}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_grow_stops_a_command_or_does_not(command: str, whole: Path, tmp_path: Path) -> None:
    size = (whole / "registry" / LOG).stat().st_size
    happened = []
    for more in range(0, 1000, 240):
        registry = copied(whole, tmp_path / str(more))
        with at_most(size + more):
            happened.append(tried(registry, whole, command))
        registry.add(whole / "first")
        assert registry.verify() == []
    assert happened == sorted(happened)
    assert (happened[0], happened[-1]) == (False, True)


def test_a_promotion_whose_aliases_cannot_be_written_has_happened_with_a_warning(
    whole: Path, tmp_path: Path, caplog: Any, monkeypatch: Any, capsys: Any
) -> None:
    registry = copied(whole, tmp_path / "r")
    disk = Disk(registry.folder, monkeypatch.setattr, "rename", 1, errno.ENOSPC)
    with caplog.at_level(logging.WARNING):
        assert main(["registry", "rollback", str(registry.folder)]) == 0
    assert disk.struck
    assert "is the champion again" in capsys.readouterr().out
    assert "is written and holds, but" in caplog.text
    assert "No space left" in caplog.text
    assert registry.lag() == 1
    assert main(["registry", "verify", str(registry.folder)]) == 0
    assert "1 line behind the log" in capsys.readouterr().err


def test_what_cannot_be_swept_stops_no_rollback(whole: Path, tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    registry = copied(whole, tmp_path / "r")
    left = registry.folder / "versions" / f"0009-{'a' * 12}.tmp"
    left.mkdir()

    def refused(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("fastslow.files.atomic.remove", refused)
    assert registry.rollback() == registry.aliases()["champion"]
    assert f"{left.name}' could not be removed: Read-only" in caplog.text


def test_a_line_that_the_disk_neither_takes_nor_gives_up_is_said_to_be_open(
    whole: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    registry = copied(whole, tmp_path / "r")
    Disk(registry.folder, monkeypatch.setattr, "sync", 1, errno.EIO)

    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.truncate", broken)
    with pytest.raises(BadInput, match="whether it happened, fastslow registry list says"):
        registry.rollback()


def test_a_refusal_is_told_though_it_cannot_be_logged(whole: Path, tmp_path: Path, caplog: Any) -> None:
    registry = copied(whole, tmp_path / "r")
    with at_most(1), pytest.raises(BadInput, match="other bytes"):
        registry.promote("3", verdict(whole / "second", whole / "second"))
    assert "could not be logged" in caplog.text


def test_a_registry_is_made_whole_or_not_at_all(tmp_path: Path, capsys: Any) -> None:
    """In a folder that is there, and in one whose parents are made."""
    made = set()
    for size in (0, 5, 100, 300, 400, 2000):
        for name, left in ((f"a{size}/b/r", f"a{size}"), (f"there{size}", f"there{size}/*")):
            (tmp_path / f"there{size}").mkdir(exist_ok=True)
            with at_most(size):
                code = main(["registry", "init", str(tmp_path / name)])
            said = capsys.readouterr().err
            made.add(code)
            if code:
                assert (code, said.count("\n")) == (2, 1), said
                assert not list(tmp_path.glob(left))
            else:
                assert ModelRegistry.open(tmp_path / name).entries()
    assert made == {0, 2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fails_while_a_registry_is_made_leaves_nothing(kind: str, tmp_path: Path) -> None:
    for at in (1, 2):
        folder = tmp_path / f"{kind}{at}" / "r"
        with pytest.MonkeyPatch.context() as patches:
            Disk(tmp_path, patches.setattr, kind, at, errno.EIO)
            try:
                ModelRegistry.create(folder)
            except BadInput:
                assert not folder.parent.exists()
            else:
                assert len(Log(folder).entries()) == 1


@pytest.mark.parametrize("where", ["file/r", "n" * 300, "/proc/nowhere"])
def test_a_place_that_takes_no_registry_is_refused_in_one_line(where: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").touch()
    for command in ("init", "list"):
        assert main(["registry", command, str(tmp_path / where)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
