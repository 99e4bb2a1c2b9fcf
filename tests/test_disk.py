"""A disk that fails leaves one clear line and the checkpoint before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastslow.checkpoint import Checkpoints
from fastslow.config import FastSlowConfig
from fastslow.display import SilentDisplay
from fastslow.errors import FastSlowError
from fastslow.resuming import choose_checkpoint
from fastslow.run_dir import RunDirectory
from fastslow.train import resume, train
from tests.support.points import arm
from tests.support.runs import tiny_settings

# Of the second checkpoint: five logs, two files of tensors, four of JSON and the folder are synced, then, once it has
# its name, the run.
SYNCS = range(14, 27)


def settings(folder: Path) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(folder, mode="rl", max_steps=2, save_time_share=1.0, save_bundle=False))


def fail_at(folder: Path, point: str, count: int, number: int, monkeypatch) -> str:
    def strike() -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patches:
        arm(point, count, strike, patch=patches.setattr)
        with pytest.raises(FastSlowError) as caught:
            train(settings(folder), display=SilentDisplay())
    message = str(caught.value)
    assert os.strerror(number) in message
    assert f"fastslow resume {folder / 'run'}" in message
    assert "\n" not in message
    return message


def check(folder: Path, point: str, count: int, number: int, monkeypatch) -> None:
    message = fail_at(folder, point, count, number, monkeypatch)
    assert not list((folder / "run").glob("*.tmp")), "nothing half written is left to fill the disk"
    start = choose_checkpoint(RunDirectory(folder / "run"))
    assert start is not None
    assert start.name in message or Checkpoints(folder / "run").steps() == [1, 2]
    assert resume(folder / "run", display=SilentDisplay())["status"] == "done"


@pytest.mark.parametrize(
    ("point", "count", "number"),
    [("sync", 16, errno.ENOSPC), ("sync", 25, errno.EIO), ("seal", 2, errno.EROFS), ("commit", 2, errno.ENOSPC)],
)
def test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line(
    tmp_path: Path, point: str, count: int, number: int, monkeypatch
) -> None:
    check(tmp_path, point, count, number, monkeypatch)


@pytest.mark.faults
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("count", SYNCS)
def test_every_sync_of_a_checkpoint_may_fail(tmp_path: Path, count: int, number: int, monkeypatch) -> None:
    check(tmp_path, "sync", count, number, monkeypatch)


def test_a_log_that_cannot_be_written_ends_the_run_in_one_line(tmp_path: Path, monkeypatch) -> None:
    message = fail_at(tmp_path, "line", 5, errno.ENOSPC, monkeypatch)
    assert "the run broke off: No space left on device." in message
    assert resume(tmp_path / "run", display=SilentDisplay())["status"] == "done"
