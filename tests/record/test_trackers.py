"""TRL's `report_to`: what trackers are told is what metrics.jsonl holds."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.cli.test_cli import recipe, start
from tests.support.runs import tiny_settings

OURS = ("fst/live_rows", "fst/fast/metric_calls", "fst/route/slow", "reward")


def run(folder: Path, tracker: str) -> list[dict]:
    settings = tiny_settings(folder, report_to=tracker, save_bundle=False, eval_strategy="steps", eval_steps=1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    lines = (Path(settings["output_dir"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


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
    assert any("seed_accuracy" in name for name in scalars)


@pytest.mark.processes
def test_trackio_sees_both_channels(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported: in a process of its own
    process = start(tmp_path, "train", "--config", recipe(tmp_path), "--report_to", "trackio", "--save_bundle", "false")
    output = process.communicate(timeout=120)
    assert process.returncode == 0, output
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    (database,) = (tmp_path / "trackio").rglob("*.db")
    with sqlite3.connect(database) as connection:
        logged = [json.loads(text) for (text,) in connection.execute("select metrics from metrics")]
    for name in OURS:
        wanted = sorted(row[name] for row in rows if row["phase"] == "slow" and name in row)
        found = sorted(row[key] for row in logged for key in (name, f"train/{name}") if key in row)
        assert found == pytest.approx(wanted)
