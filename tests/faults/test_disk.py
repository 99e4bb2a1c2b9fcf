"""A disk that fails, at whatever write, sync or rename, leaves one clear line and what was saved before."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import FastSlowError
from fastslow.files.run_directory import RunDirectory
from fastslow.files.sealed import Checkpoints, verify
from fastslow.record.display import SilentDisplay
from fastslow.run.resume import choose_checkpoint
from fastslow.run.train import resume, train
from tests.run.test_resume import assert_same
from tests.support.disk import KINDS, Disk
from tests.support.points import arm
from tests.support.runs import tiny_settings

pytestmark = pytest.mark.row(name="disk")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR)
SMALL = {
    "mode": "rl", "max_steps": 2, "save_time_share": 1.0, "problems_per_step": 2, "num_generations": 2,
    "max_completion_length": 3, "validation_size": 1, "kl_examples": 0, "keep_every": 1,
}  # fmt: skip


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(folder, **{**SMALL, **overrides}))


def begin(run: Path) -> None:
    train(settings(run.parent, output_dir=str(run)), display=SilentDisplay())


def in_one_line(caught: Any, number: int) -> str:
    message = str(caught.value)
    assert os.strerror(number) in message
    assert "\n" not in message
    return message


def check_whole(run: Path, name: str) -> None:
    assert not list(run.glob("checkpoint-*.tmp")), f"{name}: something half written is left to fill the disk"
    checkpoints = Checkpoints(run)
    for step in checkpoints.steps():
        verify(checkpoints.folder(step))


def go_on(run: Path, message: str) -> None:
    """Do what the message says."""
    if f"fastslow resume {run}" in message:
        assert resume(run, display=SilentDisplay())["status"] == "done"
    else:
        begin(run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """An unbroken run, and how often it writes, syncs and renames."""
    run = tmp_path_factory.mktemp("disk") / "whole"
    with pytest.MonkeyPatch.context() as patches:
        disk = Disk(run, patches.setattr)
        begin(run)
    assert set(disk.counts) == set(KINDS), disk.counts
    return run, dict(disk.counts)


@pytest.fixture
def run(whole: tuple[Path, dict[str, int]]) -> Path:
    """Beside the unbroken one: the same model and the same task."""
    path = whole[0].parent / "broken"
    shutil.rmtree(path, ignore_errors=True)
    return path


def fail(run: Path, kind: str, at: int, number: int) -> str | None:
    """The message of a run whose `at`-th operation fails; None if it never came to that, and the run was done."""
    with pytest.MonkeyPatch.context() as patches:
        disk = Disk(run, patches.setattr, kind, at, number)
        try:
            begin(run)
        except FastSlowError as error:
            message = str(error)
        else:
            assert not disk.struck, f"{kind} {at}: the error was swallowed"
            return None
    assert disk.struck
    assert os.strerror(number) in message, f"{kind} {at}: {message}"
    assert "\n" not in message, f"{kind} {at}: {message}"
    if run.is_dir():
        check_whole(run, f"{kind} {at}")
    return message


@pytest.mark.faults
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", KINDS)
def test_any_operation_on_the_disk_may_fail(run, whole, kind: str, number: int, record_property) -> None:
    """Every k. A third of them, another one for each error, is gone on with and compared with the unbroken run."""
    path, counts = whole
    cases = 0
    for at in range(1, counts[kind] + 1):
        shutil.rmtree(run, ignore_errors=True)
        message = fail(run, kind, at, number)
        assert message is not None, f"{kind} {at} never came"
        cases += 1
        if at % len(ERRORS) == ERRORS.index(number):
            go_on(run, message)
            assert_same(path, run)
    record_property("cases", cases)


@pytest.mark.parametrize(
    ("point", "count", "number"),
    [("sync", 16, errno.ENOSPC), ("sync", 25, errno.EIO), ("seal", 2, errno.EROFS), ("commit", 2, errno.ENOSPC)],
)
def test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line(
    tmp_path: Path, point: str, count: int, number: int, monkeypatch
) -> None:
    def strike() -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patches:
        arm(point, count, strike, patch=patches.setattr)
        with pytest.raises(FastSlowError) as caught:
            train(settings(tmp_path, keep_every=0, save_bundle=False), display=SilentDisplay())
    message = in_one_line(caught, number)
    assert f"fastslow resume {tmp_path / 'run'}" in message
    check_whole(tmp_path / "run", f"{point} {count}")
    start = choose_checkpoint(RunDirectory(tmp_path / "run"))
    assert start is not None
    assert start.name in message or Checkpoints(tmp_path / "run").steps() == [1, 2]
    assert resume(tmp_path / "run", display=SilentDisplay())["status"] == "done"


@pytest.mark.parametrize("at", [1, 3, 9])
def test_a_log_that_cannot_be_written_ends_the_run_in_one_line_and_it_can_go_on(run: Path, whole, at: int) -> None:
    message = fail(run, "write", at, errno.ENOSPC)
    assert message is not None
    go_on(run, message)
    assert_same(whole[0], run)


def test_signals_that_interrupt_system_calls_all_the_time_change_nothing(run: Path, whole) -> None:
    """EINTR as it really comes: an alarm every other millisecond."""
    previous = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        begin(run)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_same(whole[0], run)
