"""One writer per directory, and a lock that cannot outlive its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.files import locks
from fastslow.files.locks import LOCK, alone_in, is_worked_on, refuse_held
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.run.test_resume import assert_same
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings


def racer(folder: Path, start: float) -> int:
    """A process that takes the lock at `start` and reports: 0 it holds it (until it is killed), 1 refused by name."""
    process = os.fork()
    if process:
        return process
    code = 2
    try:
        time.sleep(max(0.0, start - time.time()))
        with alone_in(folder):
            (folder / f"won-{os.getpid()}").touch()
            time.sleep(60)
    except BadInput as error:
        (folder / f"lost-{os.getpid()}").write_text(str(error))
        code = 1
    finally:
        os._exit(code)


@pytest.mark.processes
@pytest.mark.row(name="races")
def test_of_two_processes_one_wins_fifty_times_and_the_loser_names_it(tmp_path: Path, record_property) -> None:
    for race in range(50):
        folder = tmp_path / str(race)
        folder.mkdir()
        start = time.time() + 0.02
        racers = [racer(folder, start) for _ in range(2)]
        loser, status = os.wait()
        assert os.waitstatus_to_exitcode(status) == 1
        (winner,) = set(racers) - {loser}
        while not (folder / f"won-{winner}").exists():
            time.sleep(0.001)
        with pytest.raises(BadInput, match=f"is being worked on by process {winner};"):
            refuse_held(folder)
        os.kill(winner, signal.SIGKILL)
        os.waitpid(winner, 0)
        refuse_held(folder)
        with alone_in(folder):
            assert (folder / LOCK).read_text().startswith(str(os.getpid())), "a dead holder's lock is free"
    record_property("cases", 50)


@pytest.mark.faults
@pytest.mark.processes
@pytest.mark.row(name="races")
def test_of_two_commands_on_one_run_directory_one_does_all_and_the_other_nothing(
    tmp_path: Path, record_property
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_settings(tmp_path, save_time_share=1.0, keep_every=1)))
    races = 0
    with Nursery(tmp_path) as nursery:
        begin = ["train", "--config", str(recipe), "--output_dir"]
        assert nursery.run([*begin, str(tmp_path / "alone")]) == 0
        for race in range(10):
            run = tmp_path / f"run-{race}"
            assert sorted(nursery.race([*begin, str(run)])) == [0, 2], (tmp_path / "log.txt").read_text()[-3000:]
            assert_same(tmp_path / "alone", run)
            broken = tmp_path / f"broken-{race}"
            assert nursery.run([*begin, str(broken)], point=("update", 2, True)) == -9
            assert sorted(nursery.race(["resume", str(broken)])) == [0, 2], (tmp_path / "log.txt").read_text()[-3000:]
            assert_same(tmp_path / "alone", broken)
            races += 2
    said = (tmp_path / "log.txt").read_text().replace("\n", "")
    assert said.count("is being worked on by process") >= 10
    record_property("cases", races)


def test_whoever_finds_a_run_in_use_is_told_by_whom_and_changes_nothing(tmp_path: Path, capsys) -> None:
    settings = tiny_settings(tmp_path, max_steps=1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    run = tmp_path / "run"
    (run / "summary.json").unlink()
    with alone_in(run):
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        for command in (["resume", str(run)], ["train", "--task", settings["task"], "--output_dir", str(run)]):
            assert main(command) == 2
            assert f"'{run}' is being worked on by process {os.getpid()}; wait for it" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert main(["doctor", str(run)]) == 0


def test_a_lock_whose_file_was_deleted_under_it_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        (tmp_path / LOCK).unlink()
        with (  # nobody holds the file that is there now
            alone_in(tmp_path),
            pytest.raises(BadInput, match="being worked on"),
            alone_in(tmp_path),
        ):
            pass


def test_a_lock_whose_name_the_disk_does_not_take_is_held_all_the_same(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with alone_in(tmp_path), pytest.raises(BadInput, match="by process unknown;"), alone_in(tmp_path):
        pass


def test_whoever_only_looks_keeps_nobody_out(tmp_path: Path, monkeypatch) -> None:
    """`fastslow watch` looks every second or two, and a run may be resumed in that very moment."""
    with alone_in(tmp_path):
        pass
    looking = os.open(tmp_path / LOCK, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: os.close(looking))
    with alone_in(tmp_path):
        assert is_worked_on(tmp_path)


def test_nobody_is_said_to_be_gone_whom_one_cannot_see(tmp_path: Path) -> None:
    assert is_worked_on(tmp_path) is None, "no lock"
    with alone_in(tmp_path):
        assert is_worked_on(tmp_path) is True
    assert is_worked_on(tmp_path) is False, "a lock of this machine that nobody holds"
    (tmp_path / LOCK).write_text("12@another-machine")
    assert is_worked_on(tmp_path) is None
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    assert is_worked_on(tmp_path) is None, "a pipe is not waited for"
