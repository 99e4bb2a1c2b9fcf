"""Adapters of stages: older ones stay as they are, and what they add up or merge to is what ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.config.settings import FastSlowConfig
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.adapters.stack import merged, name_of
from fastslow.slow.adapters.stages import Stages
from tests.slow.adapters.test_kinds import logits
from tests.support.runs import stream_settings
from tests.support.tiny import tiny_model, tiny_tokenizer


class Staged:
    """A run over three stages, and copies of all adapters after each step."""

    def __init__(self, folder: Path, kind: str):
        settings = stream_settings(folder, mode="rl", lora_r=2, adapter_stages=kind, beta=0.1, weight_decay=0.1)
        self.trainer = FastSlowTrainer(FastSlowConfig(**settings))
        self.after: list[dict[str, torch.Tensor]] = []
        ends = self.trainer.step_ends

        def step_ends() -> bool:
            self.after.append(self.adapters())
            return ends()

        self.trainer.step_ends = step_ends
        self.trainer.train()

    def adapters(self) -> dict[str, torch.Tensor]:
        named = self.trainer.model.named_parameters()
        return {name: weight.detach().clone() for name, weight in named if ".lora_" in name}

    def moved(self, first: int, last: int) -> set[str]:
        """The adapters of which something differs between the ends of two steps, counted from 1."""
        before, after = self.after[first - 1], self.after[last - 1]
        return {name.split(".")[-2] for name in after if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module", params=["stack", "merge"])
def staged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Staged(tmp_path_factory.mktemp(request.param), request.param)


def test_the_adapter_of_a_stage_is_bit_identical_after_all_later_ones(staged: Staged) -> None:
    assert staged.moved(2, 6) == {"stage2", "stage3"}, "two steps a stage; the first adapter is done after step 2"
    assert staged.moved(4, 6) == {"stage3"}
    assert staged.moved(1, 2) == {"default"}


def test_the_base_stays_what_it_was(staged: Staged) -> None:
    with staged.trainer.base() as model:
        assert torch.equal(logits(model), logits(tiny_model(tiny_tokenizer())))


def test_what_ships_is_the_base_with_all_updates(staged: Staged) -> None:
    shipped: Any = staged.trainer.slow.whole_model()
    name, base = "model.layers.1.self_attn.q_proj", tiny_model(tiny_tokenizer())
    layer = staged.trainer.model.get_base_model().get_submodule(name)
    updates = [layer.get_delta_weight(name_of(stage)).detach() for stage in range(3)]
    together = sum(updates) if staged.trainer.args.adapter_stages == "stack" else by_ties(updates)
    change = shipped.get_parameter(f"{name}.weight") - base.get_parameter(f"{name}.weight")
    torch.testing.assert_close(change, together, atol=1e-6, rtol=0)


def by_ties(updates: list[torch.Tensor]) -> torch.Tensor:
    """TIES in a few lines: the largest fifth of each, the sign that weighs most, the mean of those who have it."""
    trimmed = []
    for update in updates:
        least = update.abs().flatten().kthvalue(update.numel() - int(0.2 * update.numel())).values
        trimmed.append(torch.where(update.abs() > least, update, 0.0))
    stacked = torch.stack(trimmed)
    sign = stacked.sum(0).sign()
    agree = (stacked.sign() == sign) & (stacked != 0)
    return (stacked * agree).sum(0) / agree.sum(0).clamp(min=1)


def test_a_single_update_is_not_trimmed() -> None:
    update = torch.randn(4, 5)
    assert merged([update]) is update


def test_in_a_merge_the_merged_weights_are_measured_and_not_those_in_training(staged: Staged) -> None:
    trainer = staged.trainer
    with trainer._evaluator_of_what_ships(6) as evaluator:
        other = evaluator is not trainer.evaluator
    assert other == (trainer.args.adapter_stages == "merge")


@pytest.mark.parametrize(
    ("step", "stage", "ends", "passed"),
    [(0, 0, False, 0.0), (3, 0, False, 0.75), (4, 1, True, 0.0), (9, 1, False, 5 / 6), (10, 1, True, 1.0)],
)
def test_a_step_belongs_to_a_stage_and_the_last_stage_has_what_is_left(
    step: int, stage: int, ends: bool, passed: float
) -> None:
    stages = Stages(count=2, steps=4, total=10)
    assert (stages.after(step), stages.end(step)) == (stage, ends)
    assert stages.passed(step) == pytest.approx(passed)
