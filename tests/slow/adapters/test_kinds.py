"""Every kind of adapter starts from the base, is measured against it, and ships what it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.core.errors import BadInput
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.adapters import KINDS
from fastslow.tasks.base import Task
from tests.support.runs import tiny_trainer
from tests.support.tiny import tiny_model, tiny_tokenizer

IDS = torch.tensor([[5, 40, 7, 81, 22, 9, 130, 14]])
KIND = pytest.mark.parametrize("kind", KINDS)
Trained = Callable[[str], "Run"]


class Run:
    """A trainer of a kind, its logits before and after two steps, and what each step logged."""

    def __init__(self, folder: Path, kind: str):
        self.trainer = small(folder, kind)
        self.before = logits(self.trainer.model)
        self.trained = sum(w.numel() for w in self.trainer.model.parameters() if w.requires_grad)
        self.logged: list[dict[str, float]] = []
        self.trainer.slow.note = self._note
        self.trainer.train()
        self.after = logits(self.trainer.model)
        self.kl = [row["kl"] for row in self.trainer.slow._trainer.state.log_history if "kl" in row]

    def _note(self, metrics: Any) -> None:
        self.logged.append(dict(metrics))


def small(folder: Path, kind: str, **overrides: Any) -> FastSlowTrainer:
    return tiny_trainer(folder, mode="rl", lora_r=2, adapter=kind, beta=0.1, **overrides)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model.eval()(input_ids=IDS, use_cache=False).logits


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Runs of two steps, one of each kind."""
    folder, made = tmp_path_factory.mktemp("kinds"), dict[str, Run]()
    return lambda kind: made.setdefault(kind, made.get(kind) or Run(folder, kind))


@pytest.fixture(scope="module")
def base() -> torch.Tensor:
    """The logits of the weights that every run starts from."""
    return logits(tiny_model(tiny_tokenizer()))


@KIND
def test_training_starts_from_the_base_and_moves_away(trained: Trained, base: torch.Tensor, kind: str) -> None:
    run = trained(kind)
    torch.testing.assert_close(run.before, base, atol=1e-4, rtol=0)
    assert (run.after - base).abs().max() > 1e-3


@KIND
def test_the_base_of_a_run_is_the_original_one_after_training_too(
    trained: Trained, base: torch.Tensor, kind: str
) -> None:
    with trained(kind).trainer.base() as model:
        torch.testing.assert_close(logits(model), base, atol=1e-6, rtol=0)


@KIND
def test_the_kl_of_training_is_to_the_original_base(trained: Trained, kind: str) -> None:
    first, second = trained(kind).kl
    assert first == pytest.approx(0.0, abs=1e-5)
    assert second > 1e-6


@KIND
def test_what_ships_computes_what_was_trained(trained: Trained, kind: str) -> None:
    run = trained(kind)
    shipped = run.trainer.slow.whole_model()
    assert shipped is not None
    torch.testing.assert_close(logits(shipped), run.after, atol=1e-5, rtol=0)
    assert hasattr(shipped, "peft_config") == (kind == "lora"), "the others ship whole weights, which anything loads"


@KIND
def test_as_many_parameters_are_trained_as_by_lora(trained: Trained, kind: str) -> None:
    assert trained(kind).trained == pytest.approx(trained("lora").trained, rel=0.03)


def test_osf_leaves_the_largest_singular_directions_alone(trained: Trained) -> None:
    run, name = trained("osf"), "model.layers.0.mlp.down_proj.weight"
    shipped = run.trainer.slow.whole_model()
    assert shipped is not None
    before, after = tiny_model(tiny_tokenizer()).get_parameter(name), shipped.get_parameter(name)
    rows, _, columns = torch.linalg.svd(before.detach(), full_matrices=False)
    change, kept = (after - before).detach(), min(before.shape) - 2
    assert change.abs().max() > 1e-4
    assert (rows[:, :kept].T @ change).abs().max() < 1e-6, "also with AdamW, which rescales gradients entry by entry"
    assert (change @ columns[:kept].T).abs().max() < 1e-6


def test_shira_moves_the_same_few_entries_for_one_seed(trained: Trained, tmp_path: Path) -> None:
    layers = [
        [module.shira_indices["default"] for module in trainer.model.modules() if hasattr(module, "shira_indices")]
        for trainer in (trained("shira").trainer, small(tmp_path, "shira"), small(tmp_path, "shira", seed=4))
    ]
    pairs = [[torch.equal(a, b) for a, b in zip(layers[0], other, strict=True)] for other in layers[1:]]
    assert all(pairs[0])
    assert not any(pairs[1])


def test_corda_without_an_answer_to_look_at_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastslow.run.assemble.verified_demonstrations", lambda task, **_: list[Task]())
    with pytest.raises(BadInput, match="adapter 'corda' looks at training questions with right answers"):
        small(tmp_path, "corda")


def test_osf_with_nothing_left_to_freeze_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="freezes the largest of the 32 singular directions of"):
        tiny_trainer(tmp_path, mode="rl", adapter="osf", lora_r=32)
