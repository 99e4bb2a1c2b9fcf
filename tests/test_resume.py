"""A resumed run ends bit for bit where the unbroken one does, wherever it was cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from fastslow.config import FastSlowConfig
from fastslow.display import SilentDisplay
from fastslow.train import resume, train
from tests.support.runs import tiny_settings

CLOCKS = ("wall_s", "step_time", "train_runtime", "samples_per_second", "steps_per_second", "fst/fast/seconds")


class Cut(Exception):
    """Stands for a crash: nothing tidies up behind it."""


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    shape = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "save_time_share": 1.0, "keep_every": 1}
    return FastSlowConfig(**tiny_settings(folder, **{**shape, **overrides}))


def without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if not any(clock in k for clock in CLOCKS)}
    return [without_clocks(v) for v in value] if isinstance(value, list) else value


def left_by(run: Path) -> dict[str, Any]:
    """Everything a run leaves that is no clock."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.suffix == ".jsonl":
            found[name] = [without_clocks(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name in ("manifest.json", ".lock"):
            continue
        elif path.name == "state.json":
            state = json.loads(path.read_text())
            del state["positions"]["metrics.jsonl"]  # clocks have more or fewer digits
            found[name] = without_clocks({**state, "recorder": {**state["recorder"], "wall": None, "elapsed": None}})
            for rank in found[name]["ranks"]:
                rank["metrics"] = without_clocks(rank["metrics"])
        elif path.suffix == ".json":
            found[name] = without_clocks(json.loads(path.read_text()))
        elif path.suffix == ".safetensors":
            found[name] = {k: (v.dtype, v.shape, v.numpy().tobytes()) for k, v in load_file(path).items()}
    return found


def assert_same(run: Path, other: Path) -> None:
    ours, theirs = left_by(run), left_by(other)
    assert set(ours) == set(theirs)
    for name in ours:
        assert ours[name] == theirs[name], f"{name} differs"


class Breaks(TrainerCallback):
    def __init__(self, event: str, step: int):
        setattr(self, event, lambda args, state, control, **kw: self.cut(state.global_step == step))

    def cut(self, now: bool) -> None:
        if now:
            raise Cut


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_run_cut_after_a_step_ends_as_if_it_had_not_been(tmp_path: Path, step: int) -> None:
    whole = settings(tmp_path, output_dir=str(tmp_path / "whole"))
    train(whole, display=SilentDisplay())
    cut = settings(tmp_path, output_dir=str(tmp_path / "cut"))
    with pytest.raises(Cut):
        train(cut, display=SilentDisplay(), callbacks=[Breaks("on_save", step)])
    torch.manual_seed(99)  # whatever happened in between
    summary = resume(tmp_path / "cut", display=SilentDisplay())
    assert summary["status"] == "done"
    assert_same(tmp_path / "whole", tmp_path / "cut")
