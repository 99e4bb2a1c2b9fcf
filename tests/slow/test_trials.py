"""A model whose way back fails is refused in one line before a run, not in a traceback within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow import trials
from tests.support.runs import tiny_settings


class OneWay(torch.autograd.Function):
    """A kernel that knows the forward alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no kernel for this shape\nand more")


@pytest.fixture
def one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: OneWay.apply(forward(self, x)))
    monkeypatch.setattr(trials, "_GO_BACK", set())


def trainer(folder: Path, **settings: Any) -> FastSlowTrainer:
    return FastSlowTrainer(FastSlowConfig(**tiny_settings(folder, **settings)))


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.usefixtures("one_way")
def test_a_model_without_a_way_back_is_refused_in_one_line(packing: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"forward and backward .* NotImplementedError: no kernel for this shape"
    ) as told:
        trainer(tmp_path, packing=packing)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("one_way")
def test_contexts_alone_need_no_way_back(tmp_path: Path) -> None:
    assert trainer(tmp_path, mode="prompt").model is not None


def test_a_kernel_that_fails_in_training_mode_alone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = LlamaMLP.forward

    def only_evaluated(self: Any, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise RuntimeError("a state has to be kept")
        return forward(self, x)

    monkeypatch.setattr(LlamaMLP, "forward", only_evaluated)
    monkeypatch.setattr(trials, "_GO_BACK", set())
    with pytest.raises(BadInput, match=r"cannot be trained: .* a state has to be kept"):
        trainer(tmp_path)


def test_the_trial_leaves_no_gradient_and_no_trace_in_random_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "_GO_BACK", set())
    made, before = trainer(tmp_path), torch.get_rng_state()
    monkeypatch.setattr(trials, "_GO_BACK", set())
    trials.try_backward(made.slow._trainer, 0)
    assert len(trials._GO_BACK) == 1, "it was tried"
    assert all(p.grad is None for p in made.model.parameters())
    assert torch.equal(torch.get_rng_state(), before)
