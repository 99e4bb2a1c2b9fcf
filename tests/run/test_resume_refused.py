"""A resume that is refused has changed nothing of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.runs import tiny_settings
from tests.support.tiny import save_tiny


class Broken(Exception):
    """Stands for whatever ends a run."""


class Break(TrainerCallback):
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            raise Broken


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that broke off in its fourth step, with all checkpoints kept."""
    config = FastSlowConfig(**tiny_settings(tmp_path, max_steps=6, keep_every=1, save_time_share=1.0))
    with pytest.raises(Broken):
        train(config, display=SilentDisplay(), callbacks=[Break()])
    return tmp_path / "run"


def files_of(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def change_the_task(run: Path) -> None:
    lines = (run.parent / "task.jsonl").read_text().replace("What is", "How much is")
    (run.parent / "task.jsonl").write_text(lines)


def change_the_model(run: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_tiny(run.parent / "model")
    model = AutoModelForCausalLM.from_pretrained(run.parent / "model")
    model.resize_token_embeddings(model.config.vocab_size + 8)
    model.save_pretrained(run.parent / "model")


@pytest.mark.parametrize("change", [change_the_task, change_the_model])
@pytest.mark.parametrize("checkpoint", [None, "checkpoint-1"])
def test_checkpoints_and_logs_stay_where_the_run_no_longer_fits(run: Path, change: Any, checkpoint: str | None) -> None:
    before = files_of(run)
    assert "checkpoint-3/state.json" in before
    change(run)
    with pytest.raises(BadInput, match=r"is gone|does not fit"):
        resume(run, checkpoint=checkpoint, display=SilentDisplay())
    assert files_of(run) == before
