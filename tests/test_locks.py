"""One writer per directory, and a lock that cannot outlive its holder."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from fastslow.cli.main import main
from fastslow.config import FastSlowConfig
from fastslow.display import SilentDisplay
from fastslow.errors import BadInput
from fastslow.locks import LOCK, alone_in, refuse_held
from fastslow.train import train
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
def test_of_two_processes_one_wins_fifty_times_and_the_loser_names_it(tmp_path: Path) -> None:
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
