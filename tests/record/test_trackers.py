"""TRL's `report_to`: what trackers are told is what metrics.jsonl holds, in one run however often it is resumed."""

from __future__ import annotations

import atexit
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.files.run_directory import RunDirectory
from fastslow.record.display import SilentDisplay
from fastslow.record.trackers import FILE, tracked
from fastslow.run.train import resume, train
from tests.cli.test_cli import recipe
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings

HEAD = {"step", "phase", "wall_s", "rollouts", "tokens"}  # of every line, which trackers count for themselves
OURS = ("fst/live_rows", "fst/fast/metric_calls", "fst/route/slow", "reward")


def run(folder: Path, tracker: str) -> list[dict]:
    settings = tiny_settings(folder, report_to=tracker, save_bundle=False, eval_strategy="steps", eval_steps=1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    lines = (Path(settings["output_dir"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def tags_of(rows: list[dict], *phases: str) -> set[str]:
    """The names of metrics.jsonl as transformers tells them to trackers: in a group for each kind of line."""
    names = {name for row in rows if row["phase"] in phases for name in row} - HEAD
    return {f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}" for name in names}


def where(folder: Path, **changed) -> dict[str, str]:
    """The environment within, and the name of the run."""
    settings: dict[str, Any] = {"trackers": ["wandb"], "project": "fastslow", "name": None, **changed}
    with tracked(folder, **settings) as run:
        if run is None:
            return {}
        run.keep(RunDirectory(folder))
        return {**os.environ, "name": run.name}


def test_a_run_has_a_place_in_trackers_and_keeps_it_when_it_is_resumed(tmp_path, monkeypatch):
    for variable in ("WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RESUME", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.delenv(variable, raising=False)
    first, second = where(tmp_path), where(tmp_path)
    assert first == second
    assert (first["WANDB_PROJECT"], first["WANDB_RESUME"]) == ("fastslow", "allow")
    assert first["name"].startswith(f"{tmp_path.name}-")
    assert "WANDB_RUN_ID" not in os.environ, "afterwards the environment is as it was"
    other = tmp_path / "elsewhere" / tmp_path.name
    other.mkdir(parents=True)
    assert where(other)["WANDB_RUN_ID"] != first["WANDB_RUN_ID"]
    assert where(other)["name"] != first["name"], "a tracker that goes by names must not join them"


def test_what_the_user_says_of_trackers_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    found = where(tmp_path, name="my run")
    assert (found["WANDB_PROJECT"], found["name"]) == ("mine", "my run")
    assert where(tmp_path / "none", trackers=[]) == {}


def test_a_damaged_place_in_trackers_is_named(tmp_path):
    (tmp_path / FILE).write_text('{"id": 3, "name": []}')
    with pytest.raises(BadInput, match=FILE):
        where(tmp_path)


def test_a_resumed_run_is_the_same_run_in_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    settings = tiny_settings(tmp_path, report_to="tensorboard", save_bundle=False, mode="rl")
    train(FastSlowConfig(**settings), display=SilentDisplay())
    summary = tmp_path / "run" / "summary.json"
    summary.write_text(summary.read_text().replace('"done"', '"stopped by SIGTERM"'))
    with pytest.raises(FastSlowError, match="holds no checkpoint any more"):
        resume(tmp_path / "run", display=SilentDisplay())  # which would empty the logs
    resume(tmp_path / "run", checkpoint="none", display=SilentDisplay())
    events = list((tmp_path / "run").rglob("events.out.tfevents.*"))
    assert len(events) > 1
    assert {file.parent for file in events} == {tmp_path / "run" / "runs"}


def test_tensorboard_sees_both_channels(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = run(tmp_path, "tensorboard")
    (events,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    seen = accumulator.EventAccumulator(str(events.parent))
    seen.Reload()
    scalars = {tag.removeprefix("train/"): seen.Scalars(tag) for tag in seen.Tags()["scalars"]}
    for name in OURS:
        wanted = {row["step"]: row[name] for row in rows if row["phase"] == "slow" and name in row}
        assert wanted
        assert {s.step: s.value for s in scalars[name]} == pytest.approx(wanted)
    assert set(seen.Tags()["scalars"]) == tags_of(rows, "slow", "eval", "end"), "every name, and no other"


def with_trackio(folder: str, argv: list[str]) -> None:
    """Run a command whose numbers go to trackio's files in `folder`, which takes a process of its own: it reads the
    name from the environment when it is imported, as TRL does at its own start."""
    for name, module in list(sys.modules.items()):
        if name.startswith("trackio") and "TRACKIO_DIR" in vars(module):
            vars(module)["TRACKIO_DIR"] = Path(folder)
    assert main(argv) == 0
    atexit._run_exitfuncs()  # trackio writes its last lines there, and a fork ends without


@pytest.mark.processes
def test_trackio_sees_both_channels(tmp_path):
    pytest.importorskip("trackio")
    argv = ["train", "--config", recipe(tmp_path), "--report_to", "trackio", "--save_bundle", "false"]
    with Nursery(tmp_path) as nursery:
        codes = nursery.call("tests.record.test_trackers", "with_trackio", str(tmp_path / "trackio"), argv, ranks=1)
    assert codes == [0], nursery.log()[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    (database,) = (tmp_path / "trackio").rglob("*.db")
    assert database.stem == "fastslow"
    with sqlite3.connect(database) as connection:
        logged = [json.loads(text) for (text,) in connection.execute("select metrics from metrics")]
        names = {name for (name,) in connection.execute("select distinct run_name from metrics")}
    assert names == {json.loads((tmp_path / "run" / FILE).read_text())["name"]}
    # transformers keeps its closing numbers from trackio, and adds its own count; TRL adds times of its functions.
    told = {name for row in logged for name in row if not name.startswith("profiling/")}
    assert told == {*tags_of(rows, "slow", "eval"), "train/global_step"}
    for name in OURS:
        wanted = sorted(row[name] for row in rows if row["phase"] == "slow" and name in row)
        assert sorted(row[f"train/{name}"] for row in logged if f"train/{name}" in row) == pytest.approx(wanted)
