"""Several updates from one batch of rollouts: they are TRL's, and a step of the run stays a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.stock import Case, our_step, rollouts_of, stock_step
from tests.support.tiny import save_tiny

CLOSE = 1e-5


@pytest.mark.parametrize(
    ("loss", "rows"), [("cispo", 16), ("cispo", 4), ("grpo", 16), ("dapo", 4)], ids=lambda value: str(value)
)
def test_the_updates_of_a_batch_are_a_stock_trainers(tmp_path: Path, loss: str, rows: int) -> None:
    """Ratios move away from those of the first update, so that clipping takes part. SGD at a small rate: a rounding
    must not grow from update to update."""
    save_tiny(tmp_path / "model")
    trl = {
        "loss_type": loss, "num_iterations": 3, "max_steps": 3, "epsilon_high": 4.0 if loss == "cispo" else 0.2,
        "beta": 0.1, "learning_rate": 0.3,
    }  # fmt: skip
    case = Case(trl, {"max_steps": 1, "per_device_train_batch_size": rows}, {"off_policy": True}, seed=7)
    rollouts = rollouts_of(case)
    ours, stock = our_step(tmp_path, case, rollouts), stock_step(tmp_path, case, rollouts)
    assert max(float(change.abs().max()) for change in stock.moved.values()) > 1e-3, "the step moved nothing"
    assert ours.loss == pytest.approx(stock.loss, abs=3 * CLOSE)
    for name, change in stock.moved.items():
        torch.testing.assert_close(ours.moved[name], change, atol=CLOSE, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_a_step_is_one_batch_whatever_its_updates(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, num_iterations=3, max_steps=4, eval_strategy="steps", eval_steps=2)
    asked: list[tuple[int, int]] = []
    begin_step = trainer.policy.begin_step

    def watched(step: int) -> None:
        asked.append((step, trainer.slow._trainer.state.global_step))
        begin_step(step)

    trainer.policy.begin_step = watched  # type: ignore[method-assign]
    scored, generating = [], []
    slow = trainer.slow._trainer
    generate, forward = slow._generate_and_score_completions, slow._get_per_token_logps_and_entropies

    def generated(inputs: Any) -> Any:
        generating.append(True)
        made = generate(inputs)
        generating.clear()
        return made

    def counted(*args: Any, **kwargs: Any) -> Any:
        scored.append(bool(generating) and args[0] is slow.model)  # and not the base, for the KL
        return forward(*args, **kwargs)

    slow._generate_and_score_completions, slow._get_per_token_logps_and_entropies = generated, counted
    trainer.train()
    assert scored, "the steps are to train"
    assert not any(scored), "log-probabilities that came with the rollouts were computed again"
    assert trainer.slow.step == trainer.slow.last_step == 4
    assert asked[:4] == [(0, 0), (1, 3), (2, 6), (3, 9)], "a batch of rollouts for each step, and three updates"
    assert {m.step for m in trainer.recorder.measurements} >= {2, 4}


def test_metrics_count_steps(tmp_path: Path) -> None:
    train(FastSlowConfig(**tiny_settings(tmp_path, num_iterations=2, max_steps=3)), display=SilentDisplay())
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["phase"] == "slow"] == [1, 2, 3]
