"""A number that is not finite never reaches the weights, and never a checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trl import GRPOTrainer

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import FastSlowError
from fastslow.files.sealed import Checkpoints, verify
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.slow.hooks import StepBatch
from fastslow.slow.kl_budget import KLBudget
from fastslow.slow.trainer import SlowTrainer
from tests.support.present import present
from tests.support.runs import tiny_settings

BROKEN_STEP = 1
"""Counted from 0: the first step and its checkpoint are whole."""


def in_step(trainer: Any) -> bool:
    return trainer.state.global_step == BROKEN_STEP


def reward(patch: Any, value: float) -> None:
    real, plan = SlowTrainer._calculate_rewards, present(StepBatch.rewards_N.fget)
    steps = [0]

    def broken(self: Any, *args: Any) -> Any:
        rewards = real(self, *args)
        if in_step(self):
            rewards[0] = value
        return rewards

    def broken_plan(batch: StepBatch) -> Any:
        rewards_N = plan(batch)
        if steps[0] == BROKEN_STEP:
            rewards_N[0] = value
        steps[0] += 1
        return rewards_N

    patch(SlowTrainer, "_calculate_rewards", broken)
    patch(StepBatch, "rewards_N", property(broken_plan))


def logprob(patch: Any, value: float) -> None:
    sample = PrefixSampler.sample

    def broken(self: Any, prompts: Any, params: Any) -> Any:
        samples = sample(self, prompts, params)
        if self._version == BROKEN_STEP:
            samples[0] = replace(samples[0], logprobs=(value, *samples[0].logprobs[1:]))
        return samples

    patch(PrefixSampler, "sample", broken)


def advantage(patch: Any, value: float) -> None:
    real = SlowTrainer._generate_and_score_completions

    def broken(self: Any, rows: Any) -> Any:
        batch = real(self, rows)
        if in_step(self):
            batch["advantages"][:] = value
        return batch

    patch(SlowTrainer, "_generate_and_score_completions", broken)


def loss(patch: Any, value: float) -> None:
    real = SlowTrainer._compute_loss

    def broken(self: Any, model: Any, inputs: Any) -> Any:
        found = real(self, model, inputs)
        return found * value if in_step(self) else found

    patch(SlowTrainer, "_compute_loss", broken)


def gradient(patch: Any, value: float) -> None:
    real = SlowTrainer._get_grad_norm

    def broken(self: Any, model: Any, grad_norm: Any = None) -> Any:
        if in_step(self):
            next(p for p in self.model.parameters() if p.grad is not None).grad.view(-1)[0] = value
            grad_norm = None  # it was taken before
        return real(self, model, grad_norm)

    patch(SlowTrainer, "_get_grad_norm", broken)


def kl(patch: Any, value: float) -> None:
    real = GRPOTrainer._compute_loss

    def broken(self: Any, model: Any, inputs: Any) -> Any:
        if in_step(self):
            inputs = {**inputs, "ref_per_token_logps": inputs["ref_per_token_logps"] + value}
        return real(self, model, inputs)

    patch(GRPOTrainer, "_compute_loss", broken)


def weight(patch: Any, value: float) -> None:
    real = SlowTrainer._save_checkpoint

    def broken(self: Any, *args: Any) -> Any:
        if self.state.global_step == BROKEN_STEP + 1:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] = value
        return real(self, *args)

    patch(SlowTrainer, "_save_checkpoint", broken)


INJECTIONS: dict[str, Callable[[Any, float], None]] = {
    f.__name__: f for f in (reward, logprob, advantage, loss, gradient, kl, weight)
}
SETTINGS: dict[str, dict[str, Any]] = {
    "clipped": {"max_grad_norm": 1.0, "beta": 0.01},
    "unclipped": {"max_grad_norm": 0.0, "beta": 0.01},
}
CASES = [(name, value, how) for name in INJECTIONS for value in (math.nan, math.inf, -math.inf) for how in SETTINGS]


def check(folder: Path, monkeypatch: Any, name: str, value: float, how: str) -> None:
    settings = tiny_settings(
        folder, mode="rl", max_steps=3, save_time_share=1.0, keep_every=1, save_bundle=False, **SETTINGS[how]
    )
    with monkeypatch.context() as patches:
        INJECTIONS[name](patches.setattr, value)
        harmless = name == "reward" or (name == "kl" and value == -math.inf)  # exp(-inf) is no infinite number
        if harmless:  # unscored rows are left out, in whatever way they came to be unscored
            with contextlib.suppress(FastSlowError):
                train(FastSlowConfig(**settings), display=SilentDisplay())
        else:
            with pytest.raises(FastSlowError, match=r"^[^\n]*finite[^\n]*$"):
                train(FastSlowConfig(**settings), display=SilentDisplay())
    checkpoints = Checkpoints(folder / "run")
    assert checkpoints.steps(), "not one checkpoint"
    for step in checkpoints.steps():
        verify(checkpoints.folder(step))
        weights = load_file(checkpoints.folder(step) / "model.safetensors")
        assert all(bool(torch.isfinite(w).all()) for w in weights.values())


@pytest.mark.row(name="nonfinite")
@pytest.mark.parametrize("name", INJECTIONS)
def test_no_number_that_is_not_finite_reaches_the_weights(name: str, tmp_path: Path, monkeypatch) -> None:
    check(tmp_path, monkeypatch, name, math.nan, "clipped")


@pytest.mark.faults
@pytest.mark.row(name="nonfinite")
@pytest.mark.parametrize(("name", "value", "how"), CASES)
def test_none_of_all_cases_reaches_the_weights(name: str, value: float, how: str, tmp_path: Path, monkeypatch) -> None:
    check(tmp_path, monkeypatch, name, value, how)


def test_there_are_more_than_thirty_cases() -> None:
    assert len(CASES) >= 30


def test_a_kl_that_is_not_finite_steers_nothing() -> None:
    budget = KLBudget(0.1, 1e-3)
    for value in (math.nan, math.inf, -math.inf):
        budget.update(value)
    assert budget.beta == 1e-3
