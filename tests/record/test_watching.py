"""A run watched from its files: how it stands, whoever wrote them, and nothing is written."""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.files.locks import LOCK, alone_in
from fastslow.record.live_file import LiveFile, read_live
from fastslow.record.watching import WatchedRun

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e[bold]x[/red]"
SETTINGS = "mode: fst\nmax_steps: 6\nslow_steps_per_cycle: 3\nmodel: /models/tiny\ntask: star_graph?degree=2\n"
SUMMARY = {"status": "done", "mode": "fst", "seed": 1, "steps": 6, "accuracy": {"base_seed": 0.1, "seed": 0.25}}


def row(step: int, phase: str = "slow", **numbers: Any) -> dict[str, Any]:
    tokens = {"slow": 100 * step, "fast": 0}
    return {"step": step, "phase": phase, "wall_s": 10.0 * step, "tokens": tokens, "reward": 0.5, **numbers}


def write(run: Path, *rows: dict[str, Any], name: str = "metrics.jsonl") -> None:
    with (run / name).open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in rows)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    (tmp_path / LOCK).write_text(f"1@{socket.gethostname()}")
    return tmp_path


def looked_at(run: Path) -> WatchedRun:
    watched = WatchedRun(run)
    watched.look()
    return watched


def test_a_run_at_work_is_shown_with_its_phase_and_its_new_steps(run: Path) -> None:
    with alone_in(run):
        watched = looked_at(run)
        assert (watched.condition.words, watched.lines, watched.progress.plan.steps) == ("", [], 6)
        LiveFile(run).write("fast")
        write(run, row(1), row(2))
        write(
            run, {"step": 0, "lead": "a", "standings": [{"context_id": "a", "level": 0.5, "low": 0.25, "high": 0.75}]},
            name="standings.jsonl",
        )  # fmt: skip
        watched.look()
        assert watched.progress.phase == "fast"
        assert [line[:8] for line in watched.lines] == ["step 1/6", "step 2/6"]
        assert "eta 40 s" in watched.lines[-1]
        assert watched.progress.lead == (0.5, 0.25, 0.75)
        watched.look()
        assert watched.lines == []
        note = LiveFile(run)
        note.write("fast")
        for made in (8, 16):
            note.count(made, 96)
            watched.look()
            assert watched.lines == (["evolving contexts: 8 of 96 rollouts"] if made == 8 else []), "one a minute"
        assert watched.progress.made == (16, 96)
        assert not watched.progress.stopping
        note.stopping()
        for phase in ("fast", "save"):
            note.write(phase)
            watched.look()
            assert watched.progress.stopping
        LiveFile(run).write("start")  # a resume
        watched.look()
        assert not watched.progress.stopping


def test_a_run_without_a_process_and_a_summary_was_broken_off_and_may_be_resumed(run: Path) -> None:
    write(run, row(1), row(2), row(3))
    LiveFile(run).write("eval")
    watched = looked_at(run)
    assert watched.condition.broken
    assert watched.condition.words.startswith("broken off while evaluating, last line 0 s ago")
    with alone_in(run):
        (run / "live.json").write_text('{"phase": "eval", "since": 1, "process": 0}')
        watched.look()
        assert (watched.condition.words, watched.progress.phase) == ("", "start"), "the old phase is nobody's"
        os.truncate(run / "metrics.jsonl", len(json.dumps(row(1))) + 1)
        write(run, row(2))
        watched.look()
        assert watched.progress.step == 2
        assert watched.progress.tokens_per_second == pytest.approx(10.0)


def test_where_locks_are_not_seen_the_last_line_is_dated_and_nothing_claimed(run: Path) -> None:
    (run / LOCK).write_text(f"12@elsewhere{HOSTILE}")
    write(run, row(1))
    condition = looked_at(run).condition
    assert not condition.broken and not condition.ended and not condition.words  # noqa: PT018
    assert condition.beside.startswith("process 12 on elsewhere")
    assert "cannot be seen from here, last line 0 s ago" in condition.beside
    (run / LOCK).unlink()
    assert not looked_at(run).condition.broken, "a copy of a run is no broken run"


def test_a_summary_ends_it_unless_a_process_is_closing_or_resuming(run: Path) -> None:
    for status, words in (("done", "closing"), ("stopped by SIGTERM", "resuming")):
        (run / "summary.json").write_text(json.dumps({**SUMMARY, "status": status}))
        with alone_in(run):
            condition = looked_at(run).condition
            assert (condition.words, condition.ended) == (words, False)
        condition = looked_at(run).condition
        assert (condition.words, condition.ended) == (status, True)


def test_the_note_of_a_phase_is_one_that_nobody_reads_half_of_and_no_disk_ends_a_run_for(tmp_path: Path) -> None:
    note = LiveFile(tmp_path)
    for phase in ("clusters", "fast"):
        note.write(phase)
        assert (read_live(tmp_path).phase, read_live(tmp_path).process) == (phase, str(os.getpid()))
    note.count(180_000, 192_000)
    assert (read_live(tmp_path).phase, read_live(tmp_path).made) == ("fast", (180_000, 192_000))
    note.stopping()
    note.count(180_000, 192_000)
    assert read_live(tmp_path).stopping
    assert note.path.stat().st_size == 128
    note.remove()
    note.remove()
    assert read_live(tmp_path).phase == ""
    LiveFile(tmp_path / "nowhere").write("fast")


def test_a_run_that_was_removed_meanwhile_is_refused(run: Path) -> None:
    watched = looked_at(run)
    (run / "config.yaml").unlink()
    with pytest.raises(BadInput, match="holds no run"):
        watched.look()


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "a locked folder"])
def test_watch_waits_for_a_run_that_is_still_starting(
    tmp_path: Path, capsys: Any, monkeypatch: Any, there: bool
) -> None:
    run = tmp_path / "run"

    def sleep(seconds: float) -> None:
        run.mkdir(exist_ok=True)
        (run / "config.yaml").write_text(SETTINGS)
        (run / "summary.json").write_text(json.dumps(SUMMARY))

    if there:
        run.mkdir()
        (run / LOCK).write_text(f"1@{socket.gethostname()}")
    assert main(["watch", str(run), "--once"]) == 2
    monkeypatch.setattr("fastslow.cli.watch.time.sleep", sleep)
    assert main(["watch", str(run)]) == 0
    assert f"'{run}' holds no run yet: waiting for one to start there, ten minutes at most." in capsys.readouterr().out


def test_a_look_at_a_folder_without_a_run_says_that_one_may_be_starting(tmp_path: Path, capsys: Any) -> None:
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 2
    assert "/run' holds no run. One that was started a moment ago is seen once" in capsys.readouterr().err


def test_watch_refuses_a_folder_with_other_files(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["watch", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["done", "stopped by SIGTERM", "stopped by max_minutes"])
def test_watch_ends_with_the_closing_table_of_a_run_that_ended(
    run: Path, capsys: Any, status: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("fastslow.cli.watch.LOADING", 0.0)
    write(run, row(1), row(6))
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "status": status}))
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert main(["watch", str(run)]) == 0
    said = capsys.readouterr().out
    assert "25.0%" in said
    assert said.count("step 6/6") == 1
    more = " --max_minutes MINUTES" if status == "stopped by max_minutes" else ""
    assert (f"The run was {status}. To go on: fastslow resume {run}{more}\n" in said) == (status != "done")
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_watch_waits_a_while_for_the_resume_of_a_stopped_run(run: Path, capsys: Any, monkeypatch: Any) -> None:
    write(run, row(1), row(2))
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "status": "stopped by SIGINT"}))
    moments = iter(range(4))

    def sleep(seconds: float) -> None:
        moment = next(moments)
        if moment == 1:
            held.enter_context(alone_in(run))  # the resume has loaded
        if moment == 2:
            write(run, row(3))
            held.close()
            (run / "summary.json").write_text(json.dumps(SUMMARY))

    monkeypatch.setattr("fastslow.cli.watch.time.sleep", sleep)
    with ExitStack() as held:
        assert main(["watch", str(run)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line[:1].isalpha()]
    assert said[1] == "The run was stopped by SIGINT. Waiting 60 s, in case it is being resumed."
    assert [line[:8] for line in said[2:4]] == ["step 2/6", "step 3/6"]
    assert next(moments) == 3


def test_watch_goes_on_until_a_broken_run_was_resumed_and_done(run: Path, capsys: Any, monkeypatch: Any) -> None:
    write(run, row(1), row(2))
    moments = iter(range(3))

    def sleep(seconds: float) -> None:
        assert seconds == 2.0
        moment = next(moments)
        if moment == 1:
            write(run, row(3))
            write(run, row(4))
            (run / "summary.json").write_text(json.dumps(SUMMARY))

    monkeypatch.setattr("fastslow.cli.watch.time.sleep", sleep)
    assert main(["watch", str(run)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line[:1].isalpha()]
    assert [line[:8] for line in said[1:6]] == ["step 2/6", "The run ", "step 3/6", "step 4/6", "The run "]
    assert said[2].endswith(f"To go on: fastslow resume {run}")
    assert "eta" not in said[1], "a run that does not go on has none"


def test_watch_once_says_that_a_run_is_starting(tmp_path: Path, capsys: Any) -> None:
    with alone_in(tmp_path / "run"):
        assert main(["watch", str(tmp_path / "run"), "--once"]) == 0
    assert "a run starts in" in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 2, "nobody is at work there"


def test_watch_once_shows_how_it_stands_and_ctrl_c_is_quiet(run: Path, capsys: Any, monkeypatch: Any) -> None:
    write(run, row(1), row(2))
    assert main(["watch", str(run), "--once"]) == 0
    assert "broken off, last line 0 s ago  step 2/6" in capsys.readouterr().out

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastslow.cli.watch.time.sleep", interrupt)
    assert main(["watch", str(run)]) == 130
    assert capsys.readouterr().err == ""
    for flags in (["--interval", "0"], ["--interval", "soon"]):
        assert main(["watch", str(run), *flags]) == 2
    assert main(["watch", str(run.parent)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_nothing_that_a_file_says_is_obeyed_or_ends_the_watching(run: Path, capsys: Any, monkeypatch: Any) -> None:
    settings = {"mode": HOSTILE, "model": HOSTILE, "tasks": [HOSTILE, 3], "max_steps": HOSTILE}
    (run / "config.yaml").write_text(json.dumps(settings))  # which is YAML too
    (run / "live.json").write_text(json.dumps({"phase": HOSTILE, "since": "x", "process": HOSTILE}))
    (run / LOCK).write_text(f"{HOSTILE}@{HOSTILE}")
    write(run, row(1, reward=HOSTILE, kl=[1]), {"phase": HOSTILE, "step": HOSTILE})
    write(run, {"lead": HOSTILE, "standings": HOSTILE}, {"standings": [HOSTILE]}, name="standings.jsonl")
    assert main(["watch", str(run), "--once"]) == 0
    monkeypatch.setattr("fastslow.cli.watch.LOADING", 0.0)
    hostile = {"accuracy": {"seed": HOSTILE, "lead": 0.5}, "tasks": {HOSTILE: HOSTILE, "b": {}}, "fully_right": [1]}
    (run / "summary.json").write_text(json.dumps({**dict.fromkeys(SUMMARY, HOSTILE), **hostile}))
    assert main(["watch", str(run)]) == main(["watch", str(run), "--once"]) == 0
    said = capsys.readouterr().out
    assert "50.0%" in said
    assert not [c for c in said if not c.isprintable() and c != "\n"]
    (run / "config.yaml").write_text("mode: [")
    assert main(["watch", str(run)]) == 2
