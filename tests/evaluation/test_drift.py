"""KL to the base and entropy: against direct computation, however the rows are batched."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fastslow.core.types import Rollout, Verdict
from fastslow.evaluation.drift import _drift_of_rows, measure_drift
from fastslow.policy.base_model import adapters_off, frozen_copy
from fastslow.policy.loading import frozen_clone
from fastslow.policy.tree_forward import why_not
from tests.support.present import present
from tests.support.runs import tiny_trainer
from tests.support.zoo import zoo_model


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    trainer = tiny_trainer(tmp_path_factory.mktemp("run"))
    trainer.policy.refresh(0)
    return trainer


def moved(model, by: float = 0.05):
    other = frozen_clone(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(by * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return other


def kl(*args, **how):
    return drift(*args, **how).kl


def drift(trainer, base, *, packing: bool, examples: int = 5, model=None):
    asked = trainer.parts.task.split("validation")[:examples]
    return measure_drift(
        trainer.policy, model or trainer.model, base, trainer.population.seed, asked, seed=0, packing=packing
    )


def test_kl_and_entropy_are_the_direct_sums_over_the_vocabulary(trainer, monkeypatch) -> None:
    other = moved(trainer.model)
    seen = []
    rollouts = trainer.policy.rollouts
    monkeypatch.setattr(trainer.policy, "rollouts", lambda *a: seen.extend(rollouts(*a)) or seen)
    got = drift(trainer, lambda: nullcontext(other), packing=True)
    direct, entropies = [], []
    for r in seen:
        ids = torch.tensor([r.prompt_ids + r.completion_ids])
        places = slice(len(r.prompt_ids) - 1, -1)
        with torch.no_grad():
            p = type(other).forward(trainer.model, input_ids=ids).logits[0, places].softmax(-1).double()
            q = other(input_ids=ids).logits[0, places].softmax(-1).double()
        direct += (p * (p / q).log()).sum(-1).tolist()
        entropies += (-p * p.log()).sum(-1).tolist()
    assert got.kl == pytest.approx(sum(direct) / len(direct), rel=1e-4)
    assert present(got.kl) > 1e-3, "the weights did move"
    assert got.entropy == pytest.approx(sum(entropies) / len(entropies), rel=1e-4)


def test_kl_does_not_depend_on_packing_or_batch_size(trainer, monkeypatch) -> None:
    other = moved(trainer.model)
    values = [kl(trainer, lambda: nullcontext(other), packing=packing) for packing in (True, False)]
    for rows in (1, 2):
        monkeypatch.setattr("fastslow.evaluation.drift.KL_ROWS", rows)
        values.append(kl(trainer, lambda: nullcontext(other), packing=False))
    monkeypatch.setattr("fastslow.evaluation.drift.HEAD_ROWS", 2)
    values.append(kl(trainer, lambda: nullcontext(other), packing=True))
    assert values == pytest.approx([values[0]] * 5, rel=1e-4)


def test_rows_longer_than_a_chunk_of_a_recurrent_kernel_have_a_kl() -> None:
    """Asked to keep a state as well, xLSTM's kernel fails on them."""
    model = zoo_model("xlstm")
    rows = [
        Rollout("e", "c", tuple(range(60)), tuple(range(90, 90 + n)), (0.0,) * n, "", Verdict(1.0, ""), 0)
        for n in (9, 12)
    ]
    found = _drift_of_rows(model, lambda: nullcontext(moved(model)), rows)
    assert found.shape == (21, 2)
    assert float(found[:, 0].mean()) > 1e-3


@pytest.mark.parametrize("packing", [True, False])
def test_kl_of_unmoved_weights_is_zero_and_of_no_examples_none(trainer, packing: bool) -> None:
    assert kl(trainer, frozen_copy(lambda: frozen_clone(trainer.model)), packing=packing) == pytest.approx(0, abs=1e-7)
    assert kl(trainer, lambda: nullcontext(trainer.model), packing=packing, examples=0) is None


@pytest.mark.parametrize("packing", [True, False])
def test_kl_of_adapters_is_that_of_the_model_without_them(trainer, packing: bool) -> None:
    plain = frozen_clone(trainer.model)
    adapted = get_peft_model(
        frozen_clone(plain), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    ).eval()
    assert why_not(cast(Any, adapted.get_base_model())) is None
    got = kl(trainer, adapters_off(adapted), packing=packing, model=adapted)
    assert got is not None
    assert got == pytest.approx(kl(trainer, lambda: nullcontext(plain), packing=packing, model=adapted), rel=1e-4)
    assert got > 1e-4
