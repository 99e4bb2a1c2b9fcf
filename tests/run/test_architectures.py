"""A model of any architecture trains, resumes and is evaluated, or is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.runs import tiny_settings
from tests.support.zoo import run_through, save_zoo

TRAINED = ("lfm2", "qwen3_next", "granitemoehybrid", "mamba2", "rwkv", "gpt2", "mixtral", "gpt_oss")


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_is_trained_resumed_and_evaluated(name: str, tmp_path: Path) -> None:
    # One proposal each phase is enough: some models compute every row anew for each token.
    found = run_through(name, tmp_path, fast_metric_calls=12, anchor_size=2)
    assert {row["weights"] for row in found["rows"]} == {"base", "trained"}
    steps = [json.loads(line) for line in (found["run"] / "metrics.jsonl").read_text().splitlines()]
    assert any(step.get("step") == 2 for step in steps)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("t5", "is an encoder-decoder"),
        ("bart", "is an encoder-decoder"),
        ("vit", "is no causal language model"),
        ("encoder-bert", "is no causal language model"),
    ],
)
def test_a_model_of_another_kind_is_refused_before_anything_is_written(
    name: str, why: str, tmp_path: Path, capsys: Any
) -> None:
    settings = tiny_settings(tmp_path, model=str(save_zoo(name, tmp_path / "model")))
    with pytest.raises(BadInput, match=why) as raised:
        train(FastSlowConfig(**settings), display=SilentDisplay())
    assert "\n" not in str(raised.value)
    assert not Path(settings["output_dir"]).exists()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(settings))
    assert main(["doctor", "--config", str(recipe)]) == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert not Path(settings["output_dir"]).exists()


def test_doctor_says_how_a_model_would_be_sampled_and_trained_and_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    settings = tiny_settings(tmp_path, model=str(save_zoo("rwkv", tmp_path / "model")))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(settings))
    assert main(["doctor", "--config", str(recipe)]) == 0
    said = capsys.readouterr().out
    assert "computes every row anew for each token" in said
    assert "trains on rows padded on the right" in said
    assert not Path(settings["output_dir"]).exists()
