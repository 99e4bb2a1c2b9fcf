"""The wall time of a run has a ceiling: it stops whole, says so, and goes on where more is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.files.run_directory import RunDirectory
from fastslow.files.sealed import Checkpoints
from fastslow.record.display import SilentDisplay
from fastslow.record.recorder import Recorder
from fastslow.run.resume import choose_checkpoint
from fastslow.run.signals import exit_code
from fastslow.run.train import resume, train
from fastslow.run.wall_time import WallTime
from tests.run.test_resume import assert_same
from tests.support.runs import tiny_settings

STEPS = 4
ENOUGH = 1e6


@pytest.fixture
def clock(monkeypatch) -> Any:
    """Every step takes 10 s of a run's time and 10 s of the clock by which steps are measured."""
    now = [0.0]

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    monkeypatch.setattr("fastslow.run.wall_time.time", Clock)
    monkeypatch.setattr(Recorder, "elapsed", lambda self: now[0] + self._before)
    monkeypatch.setattr(Recorder, "_before", 0.0, raising=False)
    load = Recorder.load_state_dict

    def loaded(self: Any, state: Any) -> None:
        load(self, state)
        self._before = state["elapsed"]
        now[0] = 0.0

    monkeypatch.setattr(Recorder, "load_state_dict", loaded)
    step_ends = WallTime.step_ends

    def ten_seconds_later(self: Any) -> None:
        now[0] += 10.0
        step_ends(self)

    monkeypatch.setattr(WallTime, "step_ends", ten_seconds_later)
    return now


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(folder, mode="rl", max_steps=STEPS, keep_every=1, **overrides))


def test_no_step_begins_that_would_end_after_the_ceiling(tmp_path: Path, clock) -> None:
    summary = train(settings(tmp_path, max_minutes=35 / 60), display=SilentDisplay())
    assert summary["steps"] == 3, "the fourth would end at 40 s"
    assert summary["status"] == "stopped by max_minutes"
    assert exit_code(summary) == 0
    run = tmp_path / "run"
    assert Checkpoints(run).steps()[-1] == 3
    assert choose_checkpoint(RunDirectory(run)) == run / "checkpoint-3"
    assert (run / "bundle" / "model.safetensors").exists()
    assert json.loads((run / "summary.json").read_text())["status"] == "stopped by max_minutes"


def test_a_ceiling_that_is_met_exactly_lets_all_steps_happen(tmp_path: Path, clock) -> None:
    assert train(settings(tmp_path, max_minutes=41 / 60), display=SilentDisplay())["status"] == "done"


def test_time_counts_over_resumes_and_a_resume_begins_nothing_it_has_no_time_for(tmp_path: Path, clock) -> None:
    train(settings(tmp_path, max_minutes=25 / 60), display=SilentDisplay())
    run = tmp_path / "run"
    for _ in range(2):
        summary = resume(run, display=SilentDisplay())
        assert (summary["steps"], summary["status"]) == (2, "stopped by max_minutes")
        assert Checkpoints(run).steps() == [1, 2]
        assert (run / "bundle" / "model.safetensors").exists()
    summary = resume(run, max_minutes=35 / 60, display=SilentDisplay())
    assert (summary["steps"], summary["status"]) == (3, "stopped by max_minutes")


def test_a_run_that_was_given_more_time_ends_like_one_that_had_it_all_along(tmp_path: Path, clock) -> None:
    train(settings(tmp_path, output_dir=str(tmp_path / "whole")), display=SilentDisplay())
    clock[0] = 0.0
    train(settings(tmp_path, max_minutes=25 / 60), display=SilentDisplay())
    assert resume(tmp_path / "run", max_minutes=ENOUGH, display=SilentDisplay())["status"] == "done"
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_the_command_line_ends_with_0_and_says_how_to_go_on(tmp_path: Path, capsys) -> None:
    config = settings(tmp_path, max_minutes=1e-6)
    (tmp_path / "recipe.yaml").write_text(json.dumps(tiny_settings(tmp_path, mode="rl", max_steps=STEPS)))
    recipe = ["--config", str(tmp_path / "recipe.yaml"), "--max_minutes", str(config.max_minutes)]
    assert main(["train", *recipe]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"stopped after step 1 of {STEPS}, and everything is saved." in said
    assert f"fastslow resume {tmp_path / 'run'} --max_minutes MINUTES" in said
    assert main(["resume", str(tmp_path / "run"), "--max_minutes", "600"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "done"


@pytest.mark.parametrize("minutes", [0.0, -1.0])
def test_a_ceiling_of_nothing_is_refused(minutes: float) -> None:
    with pytest.raises(BadInput, match="max_minutes must be above 0"):
        FastSlowConfig(max_minutes=minutes, bf16=False)


def test_what_a_run_took_before_it_was_resumed_is_part_of_what_it_takes() -> None:
    recorder = Recorder(None)
    recorder.load_state_dict({**Recorder(None).state_dict(), "elapsed": 100.0})
    assert 100.0 <= recorder.elapsed() < 160.0
