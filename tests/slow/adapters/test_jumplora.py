"""JumpLoRA: what its gate lets through, how its threshold learns, and what becomes of it at the end of a stage."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization

from fastslow.bundles.bundle import open_bundle
from fastslow.config.settings import FastSlowConfig
from fastslow.export.folder import export_bundle
from fastslow.policy.loading import ModelSource, load_model
from fastslow.policy.plain import plain_copy
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.slow.adapters.jumplora import KERNEL, Jump, JumpLora, JumpUpdate, gate_after, updates_of
from tests.slow.adapters.test_kinds import logits
from tests.support.runs import stream_settings, tiny_trainer
from tests.support.tiny import tiny_model, tiny_tokenizer


def test_the_gate_lets_through_what_exceeds_tau_as_it_is() -> None:
    update = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5], dtype=torch.float64)
    assert Jump.apply(update, torch.tensor(1.0)).tolist() == [-3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5]


def smoothed(update: torch.Tensor, tau: torch.Tensor, width: float) -> torch.Tensor:
    """The gate as a mean over a rectangle: E[(|x| + u) 1(|x| + u > tau)] sign(x), u uniform in width / 2 around 0."""
    low, high = update.abs() - width / 2, update.abs() + width / 2
    above = torch.minimum(torch.maximum(tau, low), high)
    return update.sign() * (high**2 - above**2) / (2 * width)


def test_taus_gradient_is_the_finite_difference_of_the_smoothed_loss() -> None:
    drawn = torch.Generator().manual_seed(1)
    update = torch.randn(60, 50, dtype=torch.float64, generator=drawn)
    slopes = torch.randn(60, 50, dtype=torch.float64, generator=drawn)
    log_tau = torch.tensor(-0.1, dtype=torch.float64, requires_grad=True)
    (slopes * Jump.apply(update, log_tau.exp())).sum().backward()
    width, step = KERNEL * log_tau.exp().item(), 1e-6
    high, low = ((slopes * smoothed(update, (log_tau.detach() + d).exp(), width)).sum() for d in (step, -step))
    assert log_tau.grad is not None
    assert log_tau.grad.item() == pytest.approx(((high - low) / (2 * step)).item(), rel=1e-3)


def test_entries_below_tau_have_no_gradient_and_the_others_their_own() -> None:
    update = torch.tensor([0.2, -0.8], requires_grad=True)
    (Jump.apply(update, torch.tensor(0.5)) * torch.tensor([3.0, 4.0])).sum().backward()
    assert update.grad is not None
    assert update.grad.tolist() == [0.0, 4.0]


def test_tau_is_set_so_that_the_budget_is_alive_and_stays_so_while_the_update_grows() -> None:
    update = JumpUpdate(torch.zeros(40, 30), rank=4, scale=1.0, seed=0)
    update.B.data.normal_(generator=torch.Generator().manual_seed(2))
    update.set_tau()
    assert update.alive() == update.budget == 4 * 70
    update.B.data.mul_(3)  # the trap of an absolute threshold
    assert update.alive() == pytest.approx(update.budget, abs=1)


def test_tau_of_an_update_that_learns_late_is_set_then(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", lora_r=2, adapter="jumplora", max_steps=10)
    grpo = SimpleNamespace(
        accelerator=SimpleNamespace(unwrap_model=lambda m: m), model=trainer.model, note=lambda metrics: None
    )
    adapter, (_, _, update) = JumpLora(trainer.args), updates_of(trainer.model)[0]
    for step in range(1, 9):
        adapter.step_ended(grpo, step)
    assert update.is_unset(), "as long as the update is 0"
    update.B.data.normal_(generator=torch.Generator().manual_seed(2))
    adapter.step_ended(grpo, 9)
    assert update.alive() == update.budget
    tau = update.log_tau.item()
    update.B.data.normal_(generator=torch.Generator().manual_seed(3))
    adapter.step_ended(grpo, 9)
    assert update.log_tau.item() == tau, "once the gate is shut, tau is learned"


def test_the_gate_opens_at_a_fifth_of_a_stage_and_is_shut_at_four_fifths() -> None:
    assert [gate_after(share / 10) for share in (0, 2, 5, 8, 10)] == pytest.approx([0, 0, 0.5, 1, 1])


def test_an_update_that_is_half_gated_merges_exactly() -> None:
    model: Any = tiny_model(tiny_tokenizer())
    layer = model.model.layers[0].mlp.up_proj
    update = JumpUpdate(layer.weight, rank=2, scale=4.0, seed=0)
    update.B.data.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    update.set_tau()
    update.gate = 0.4
    whole, delta = layer.weight.detach().clone(), update.update().detach()
    register_parametrization(layer, "weight", update)
    jumped = torch.where(delta.abs() > update.tau(delta), delta, 0.0)
    torch.testing.assert_close(layer.weight, whole + 4 * (0.4 * jumped + 0.6 * delta))
    plain, ids = plain_copy(model), torch.arange(12)[None]
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, model(input_ids=ids).logits)
    assert not updates_of(plain)
    assert len(updates_of(model)) == 1, "the original keeps its update"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages of five steps."""
    folder = tmp_path_factory.mktemp("staged")
    settings = stream_settings(folder, mode="rl", lora_r=2, adapter="jumplora", stage_steps=5, beta=0.1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    return folder / "run"


def test_at_the_end_of_each_stage_the_budget_is_alive(staged: Path) -> None:
    rows = map(json.loads, (staged / "metrics.jsonl").read_text().splitlines())
    alive = {row["step"]: row["fst/jumplora/alive"] for row in rows if "fst/jumplora/alive" in row}
    assert [alive[step] for step in (5, 10, 15)] == pytest.approx([1.0] * 3, abs=0.2)
    assert 6 not in alive, "a fresh update is not gated yet"


def test_its_bundle_is_a_plain_model_beside_the_original_base_and_is_exported(staged: Path, tmp_path: Path) -> None:
    bundle, original = open_bundle(staged), logits(tiny_model(tiny_tokenizer()))
    assert not updates_of(bundle.model)
    assert (logits(bundle.model) - original).abs().max() > 1e-3
    with bundle.base() as base:
        assert torch.equal(logits(base), original)
    export_bundle(staged, tmp_path / "hf")
    assert torch.equal(logits(load_model(ModelSource("hf", str(tmp_path / "hf")))), logits(bundle.model))


def test_a_stage_ends_in_the_weights_and_the_next_starts_afresh(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", lora_r=2, adapter="jumplora", max_steps=5)
    first = {name: update.A.detach().clone() for name, _, update in updates_of(trainer.model)}
    below = {name: layer.parametrizations.weight.original.clone() for name, layer, _ in updates_of(trainer.model)}
    trainer.train()
    for name, layer, update in updates_of(trainer.model):
        changed = layer.parametrizations.weight.original - below[name]
        assert 0 < changed.count_nonzero() < changed.numel(), f"{name}: only entries above tau were added"
        assert not update.B.any()
        assert not torch.equal(update.A, first[name])
        assert torch.equal(layer.weight, layer.parametrizations.weight.original)
