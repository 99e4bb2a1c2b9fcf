"""What is left out of a step cannot have changed it: our weights after five steps are a stock trainer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from fastslow.core.types import Rollout
from tests.support.present import present
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.tiny import tiny_tokenizer
from tests.support.watch import LastBatch

STEPS = 5
SHARED = {"num_generations": 4, "max_completion_length": 5, "max_grad_norm": 1e9, "optim": "sgd", "learning_rate": 0.5,
          "warmup_steps": 0, "lr_scheduler_type": "constant_with_warmup", "bf16": False, "use_cpu": True,
          "max_steps": STEPS, "report_to": "none", "loss_type": "cispo", "epsilon_high": 4.0,
          "gradient_checkpointing": False}  # fmt: skip


def sometimes(completion: str, row: dict[str, Any]) -> float:
    """1 for a fifth of random answers: about four groups of ten have no right answer, and no gradient."""
    return float(sum(map(ord, completion)) % 5 == 0)


class Keep(TrainerCallback):
    """The rollouts of every step."""

    def __init__(self, trainer: Any) -> None:
        self.last = LastBatch(trainer)
        self.steps: list[list[Rollout]] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.steps.append(self.last.rollouts)


def train_ours(folder: Path, **overrides: Any) -> tuple[dict[str, torch.Tensor], list[list[Rollout]]]:
    """Five steps at a time; the weights and the rollouts they came from."""
    settings = tiny_settings(folder, mode="rl", loss_aggregation="token", **SHARED)
    settings["task"] = settings["task"].split("?")[0] + "?scorer=tests.slow.test_equivalence:sometimes"
    trainer = tiny_trainer(folder, **{**settings, **overrides})
    keep = Keep(trainer)
    trainer.add_callback(keep)
    trainer.train()
    return {n: p.detach().clone() for n, p in trainer.model.named_parameters()}, keep.steps


def train_stock(folder: Path, steps: list[list[Rollout]], beta: float) -> dict[str, torch.Tensor]:
    """TRL's own trainer on the same rollouts: padded rows, dead ones included."""
    played = iter(steps)
    now: list[Rollout] = []

    def replay(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        now[:] = next(played)
        return {
            "prompt_ids": [list(r.prompt_ids) for r in now],
            "completion_ids": [list(r.completion_ids) for r in now],
            "logprobs": [list(r.logprobs) for r in now],
        }

    rows = len(steps[0])
    args = GRPOConfig(
        output_dir=str(folder / "stock"), per_device_train_batch_size=rows, beta=beta, shuffle_dataset=False,
        disable_tqdm=True, **SHARED
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32),
        reward_funcs=[lambda **kwargs: [r.verdict.reward for r in now]],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": str(i)}] for i in range(100)]}),
        processing_class=tiny_tokenizer(),
        rollout_func=replay,
    )
    trainer.train()
    return {n: p.detach() for n, p in present(trainer.model).named_parameters()}


def assert_same_weights(ours: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    for name, weight in others.items():
        torch.testing.assert_close(ours[name], weight, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("packing", ["on", "off"])
def test_five_steps_end_where_a_stock_trainer_ends(tmp_path: Path, packing: str, beta: float) -> None:
    ours, steps = train_ours(tmp_path, packing=packing, beta=beta)
    groups = [{r.verdict.reward for r in step[i : i + 4]} for step in steps for i in range(0, len(step), 4)]
    assert {len(rewards) for rewards in groups} == {1, 2}, "there must be dead groups as well as live ones"
    start = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).state_dict()
    assert max(float((ours[n] - start[n]).abs().max()) for n in ours) > 1e-3, "nothing was learned"
    assert_same_weights(ours, train_stock(tmp_path, steps, beta))


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_a_smaller_micro_batch_changes_nothing(tmp_path: Path, beta: float) -> None:
    whole, _ = train_ours(tmp_path, beta=beta)
    parts, _ = train_ours(tmp_path, beta=beta, per_device_train_batch_size=3, output_dir=str(tmp_path / "parts"))
    assert_same_weights(parts, whole)
