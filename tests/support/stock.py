"""One optimiser step of ours and of a stock TRL trainer on the same fixed completions, rewards and weights."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from fastslow.config.settings import FastSlowConfig
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.slow.hooks import NoListener, StepBatch
from fastslow.slow.trainer import SlowTrainer
from tests.support.runs import tiny_settings
from tests.support.tiny import tiny_tokenizer

PROBLEMS, GROUP = 4, 4
ROWS = PROBLEMS * GROUP
LONGEST = 6
COMMON: dict[str, Any] = {
    "num_generations": GROUP, "max_completion_length": LONGEST, "max_grad_norm": 1e9, "optim": "sgd",
    "learning_rate": 1.0, "warmup_steps": 0, "lr_scheduler_type": "constant", "bf16": False, "use_cpu": True,
    "max_steps": 1, "report_to": "none", "gradient_checkpointing": False, "save_strategy": "no", "seed": 3,
}  # fmt: skip
LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8}


@dataclass(frozen=True)
class Case:
    """A step. `trl` holds settings of TRL that both trainers get, `ours` those that only ours knows; `batch` the rest
    of a StepBatch."""

    trl: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)
    unscored: bool = False
    lora: bool = False
    seed: int = 0

    def __str__(self) -> str:
        parts = {**self.trl, **self.ours, **{k: v for k, v in self.batch.items() if k != "parts_N"}}
        marks = [name for name in ("unscored", "lora") if getattr(self, name)]
        return ",".join([*(f"{name}={value}" for name, value in parts.items()), *marks])


@dataclass(frozen=True)
class Step:
    """What a step did: its loss, and by how much it moved each weight."""

    loss: float
    moved: dict[str, torch.Tensor]
    metrics: dict[str, list[float]]


def rollouts_of(case: Case) -> list[Rollout]:
    """Random completions of 1 to LONGEST tokens under two contexts a problem, half of them ended. The first problem has
    equal rewards; the last two have a long right and a long wrong answer that ended and were scored, so that something
    is learned in every case."""
    draw, end = random.Random(case.seed), int(tiny_tokenizer().eos_token_id)  # type: ignore[arg-type]
    rollouts = []
    for row in range(ROWS):
        problem, context = row // GROUP, row % 2
        prompt = (*range(3 + problem, 6 + problem + context), 9, 20 + 2 * row)
        sure = problem >= 2 and row % GROUP < 2
        answer = [draw.randrange(40, 200) for _ in range(LONGEST if sure else draw.randint(1, LONGEST))]
        if draw.random() < 0.5 or sure:
            answer[-1] = end
        reward = 0.5 if problem == 0 else draw.choice([0.0, 0.25, 1.0])
        if sure:
            reward = float(row % GROUP)
        elif case.unscored and draw.random() < 0.25:
            reward = None
        rollouts.append(
            Rollout(
                f"e{problem}", f"c{context}", prompt, tuple(answer),
                tuple(draw.gauss(-5.6, 0.3) for _ in answer), "", Verdict(reward, "") if reward is not None
                else Verdict.unscored("no judge"), 0,
            )
        )  # fmt: skip
    return rollouts


def our_step(
    folder: Path,
    case: Case,
    rollouts: Sequence[Rollout],
    *,
    steps: int = 1,
    prepare: Callable[[SlowTrainer], object] = lambda trainer: None,
) -> Step:
    """A step of the project's trainer, without the loop around it, after `prepare` was called with the trainer."""
    trainer = our_trainer(folder, case, rollouts, steps=steps)
    prepare(trainer)
    step = _train(trainer)
    if trainer.critic is not None:
        step.moved.update({f"critic.{name}": w for name, w in trainer.critic.state_dict()["weights"].items()})
    return step


def our_trainer(folder: Path, case: Case, rollouts: Sequence[Rollout], *, steps: int = 1) -> SlowTrainer:
    """The project's trainer with this case as the batch of each of its steps."""
    beta = case.trl.get("beta", 0.0)
    settings = {**COMMON, "mode": "rl", "problems_per_step": PROBLEMS, "lora_r": LORA["r"] if case.lora else 0,
                "lora_alpha": LORA["lora_alpha"], "loss_aggregation": "token", "beta": beta, "max_steps": steps,
                "output_dir": str(folder / "ours"), **case.trl, **case.ours}  # fmt: skip
    args = FastSlowConfig(**tiny_settings(folder, **settings))
    trainer = SlowTrainer(args, model=model_in(folder), tokenizer=tiny_tokenizer())
    batch = StepBatch(
        examples=tuple(_example(f"e{i}") for i in range(PROBLEMS)),
        rollouts=tuple(rollouts),
        slow_B=case.batch.get("slow_B", (True,) * PROBLEMS),
        **{"beta": beta, **{name: value for name, value in case.batch.items() if name != "slow_B"}},
    )
    trainer.source = _Fixed(batch)
    trainer.listener = NoListener()
    return trainer


def stock_step(folder: Path, case: Case, rollouts: Sequence[Rollout], *, rows_per_forward: int = ROWS) -> Step:
    """A step of TRL's trainer: forwards of padded rows, by default one, else by length; of rows that count for nothing
    it is given none."""
    settings = {**COMMON, **case.trl}
    settings.setdefault("beta", 0.0)
    args = GRPOConfig(
        output_dir=str(folder / "stock"), per_device_train_batch_size=rows_per_forward, shuffle_dataset=False,
        gradient_accumulation_steps=ROWS // rows_per_forward, disable_tqdm=True, **settings,
    )  # fmt: skip

    def replay(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": [list(r.prompt_ids) for r in rollouts],
            "completion_ids": [list(r.completion_ids) for r in rollouts],
            "logprobs": [list(r.logprobs) for r in rollouts],
        }

    trainer = _OfCountedRows(
        model=model_in(folder),
        reward_funcs=[lambda **kwargs: [r.verdict.reward for r in rollouts]],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": str(i)}] for i in range(PROBLEMS)]}),
        processing_class=tiny_tokenizer(),
        rollout_func=replay,
        peft_config=LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", **LORA) if case.lora else None,
    )
    trainer.case, trainer.played = case, rollouts
    with mock.patch.object(grpo_trainer, "shuffle_sequence_dict", _by_length):
        return _train(trainer)


def _by_length(batch: dict[str, Any]) -> dict[str, Any]:
    """Order rows as ours cuts padded ones into forwards, where TRL shuffles them."""
    order = (batch["prompt_mask"].sum(1) + batch["completion_mask"].sum(1)).argsort(stable=True)
    return {name: v[order] if isinstance(v, torch.Tensor) and v.ndim else v for name, v in batch.items()}


class _OfCountedRows(GRPOTrainer):
    """TRL's trainer, given only the rows that train the weights. Where all do, and every ratio and advantage is TRL's
    own, nothing is changed."""

    case: Case
    played: Sequence[Rollout]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        scored = super()._generate_and_score_completions(inputs)
        case, batch = self.case, self.case.batch
        if "parts_N" in batch:
            scored["advantages"] = self._within(torch.tensor(batch["parts_N"]))
        if batch.get("off_policy"):
            scored["old_per_token_logps"] = scored["sampling_per_token_logps"]
        scored["advantages"] = scored["advantages"] * batch.get("advantage_scale", 1.0)
        slow = batch.get("slow_B", (True,) * PROBLEMS)
        counted = [i for i, r in enumerate(self.played) if slow[i // GROUP] and r.verdict.reward is not None]
        if len(counted) == ROWS and case.ours.get("loss_aggregation", "token") == "token":
            return scored
        lengths = scored["completion_mask"].sum(1)
        if case.ours.get("loss_aggregation") == "problem":
            tokens = {p: sum(int(lengths[i]) for i in counted if i // GROUP == p) for p in range(PROBLEMS)}
            speaking = [p for p in tokens if tokens[p]]
            for i in counted:
                share = sum(tokens.values()) / (len(speaking) * max(tokens[i // GROUP], 1))
                scored["advantages"][i] *= share
        for name, value in scored.items():
            if isinstance(value, torch.Tensor) and value.ndim:
                scored[name] = value[counted]
        scored["num_items_in_batch"] = lengths[counted].sum()
        return scored

    def _within(self, parts: torch.Tensor) -> torch.Tensor:
        rewards = torch.tensor([float("nan") if r.verdict.reward is None else r.verdict.reward for r in self.played])
        rewards = rewards * self.reward_weights
        everyone = rewards[~rewards.isnan()].std()
        out = torch.zeros(ROWS)
        for part in parts.unique():
            rows = [i for i in range(ROWS) if parts[i] == part and not rewards[i].isnan()]
            if len(rows) > 1:
                std = {"group": rewards[rows].std() + 1e-4, "batch": everyone + 1e-4, "none": 1.0}[self.scale_rewards]
                out[rows] = (rewards[rows] - rewards[rows].mean()) / std
        return out


class _Fixed:
    def __init__(self, batch: StepBatch) -> None:
        self.batch = batch

    def next_step(self, step: int) -> StepBatch:
        return self.batch


def moved_away(model: Any) -> dict[str, torch.nn.Parameter]:
    """Move the weights that are trained away from where they were loaded, or KL and its gradient would be 0; return
    them."""
    draw = torch.Generator().manual_seed(5)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, weight in weights.items():
            noise = 0.05 * torch.randn(weight.shape, generator=draw)
            weight.copy_(noise if "lora" in name else weight + noise)
    return weights


def _train(trainer: Any) -> Step:
    """Take the steps, from weights that were moved away."""
    weights = moved_away(trainer.model)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    losses: list[float] = []
    compute = trainer.compute_loss

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = compute(*args, **kwargs)
        losses.append(float(loss.detach()))
        return loss

    trainer.compute_loss = watched
    logged: dict[str, list[float]] = {}
    log = trainer.log

    def kept(logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        for name, values in trainer._metrics["train"].items():
            logged.setdefault(name, []).extend(values)
        log(logs, *args, **kwargs)

    trainer.log = kept
    trainer.train()
    return Step(sum(losses), {name: weight.detach() - before[name] for name, weight in weights.items()}, logged)


def model_in(folder: Path) -> Any:
    """A copy of the saved model, in fp32."""
    return copy.deepcopy(_loaded(folder / "model"))


@lru_cache(maxsize=2)
def _loaded(model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)


def _example(name: str) -> Example:
    return Example(name, "t", "train", ({"role": "user", "content": name},))
