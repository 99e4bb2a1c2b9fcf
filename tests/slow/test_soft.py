"""Rows of soft contexts learn by the loss of the weights: alone beside frozen weights, or with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.policy.soft_rows import SoftRows
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.soft import SoftLearner
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.tiny import tiny_model, tiny_tokenizer

SOFT: dict[str, Any] = {"fast_weights": "soft", "soft_tokens": 200, "soft_learning_rate": 1e-2}


def trained(folder: Path, **overrides: Any) -> FastSlowTrainer:
    trainer = tiny_trainer(folder, **{"mode": "prompt", "max_steps": 1, "beta": 0.0, **SOFT, **overrides})
    trainer.train()
    return trainer


def rows_of(trainer: FastSlowTrainer) -> list[torch.Tensor]:
    assert trainer.slow.soft is not None
    return [slot.detach().clone() for slot in trainer.slow.soft.rows.slots]


def test_in_20_steps_beside_frozen_weights_these_stay_bit_identical_and_only_used_rows_move(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="prompt", max_steps=20, slow_steps_per_cycle=10, fast_metric_calls=60, **SOFT)
    weights = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    born: list[torch.Tensor] = []
    learner = trainer.slow.soft
    assert learner is not None
    learn = learner.learn

    def watched() -> dict[str, float]:
        born[:] = born or rows_of(trainer)
        return learn()

    learner.learn = watched  # type: ignore[method-assign]
    trainer.train()
    assert trainer.step == 20
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, weights[name]), name
        assert weight.requires_grad, "frozen for a backward, and no longer"
    for before, after, held in zip(born, rows_of(trainer), learner.rows.held, strict=True):
        assert held is not None
        moved = (before != after).any(1)
        assert moved[: held.tokens].all(), "every row that stands in a prompt moved"
        assert not moved[held.tokens :].any(), "and no other"


def test_rows_move_alike_beside_frozen_weights_and_with_them(tmp_path: Path) -> None:
    alone, joint = trained(tmp_path), trained(tmp_path, mode="fst", output_dir=str(tmp_path / "joint"))
    for one, other in zip(rows_of(alone), rows_of(joint), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    moved = [not torch.equal(a, b) for a, b in zip(alone.model.parameters(), joint.model.parameters(), strict=True)]
    assert any(moved), "the weights of the other run learned"


def test_padded_rows_move_soft_ones_as_token_trees_do(tmp_path: Path) -> None:
    trees, padded = trained(tmp_path), trained(tmp_path, packing="off", output_dir=str(tmp_path / "padded"))
    for one, other in zip(rows_of(trees), rows_of(padded), strict=True):
        # AdamW's first step is of the size of the rate, whatever the gradient: where that is rounding, signs differ.
        assert (one - other).abs().gt(1e-4).float().mean() < 0.01


def test_with_adapters_the_base_stays_and_rows_and_adapters_learn(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="fst", lora_r=2, beta=0.1, **SOFT)
    weights = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, weights[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert any(bool(slot.any()) for slot in rows_of(trainer))


def test_texts_beside_soft_contexts_cost_no_backward_where_weights_are_frozen(tmp_path: Path) -> None:
    trainer = trained(tmp_path, fast_weights="both", num_generations=4)
    assert trainer.recorder.trained["rows"] <= 3 * 4 / 2, "half of the rollouts are under a text"
    assert trainer.recorder.trained["rows"] > 0


def learner_of(count: int = 2) -> tuple[Any, SoftLearner]:
    model = tiny_model(tiny_tokenizer())
    return model, SoftLearner(SoftRows.beside(model, slots=count, tokens=3), rate=0.1, alone=True)


def moved_once(model: Any, learner: SoftLearner, birth: Any) -> dict[str, float]:
    model(input_ids=torch.tensor([[5, *learner.rows.ids_of(birth), 6]])).logits[0, -1, 0].backward()
    return learner.learn()


def test_a_slot_without_a_gradient_does_not_move_by_its_momentum() -> None:
    model, learner = learner_of()
    first, second = learner.bear(model, [7, 8], ()), learner.bear(model, [9], (0,))
    moved_once(model, learner, first)
    still = learner.rows.rows_of(first).clone()
    logged = moved_once(model, learner, second)
    assert torch.equal(learner.rows.rows_of(first), still)
    assert logged["fst/soft/slots_moved"] == 1


def test_a_newborn_has_none_of_the_momentum_of_its_slot() -> None:
    model, learner = learner_of(count=1)
    moved_once(model, learner, learner.bear(model, [7, 8], ()))
    second = learner.bear(model, [7, 8], ())
    born = learner.rows.rows_of(second).clone()
    moved_once(model, learner, second)
    fresh_model, fresh = learner_of(count=1)
    other = fresh.bear(fresh_model, [7, 8], ())
    assert torch.equal(fresh.rows.rows_of(other), born)
    moved_once(fresh_model, fresh, other)
    torch.testing.assert_close(learner.rows.rows_of(second), fresh.rows.rows_of(other))


def test_a_gradient_that_is_not_finite_ends_the_run_and_moves_nothing() -> None:
    model, learner = learner_of()
    birth = learner.bear(model, [7, 8], ())
    born = learner.rows.rows_of(birth).clone()
    learner.rows.slots[0].grad = torch.full_like(learner.rows.slots[0], float("nan"))
    with pytest.raises(FastSlowError, match="lower soft_learning_rate"):
        learner.learn()
    assert torch.equal(learner.rows.rows_of(birth), born)


# What means nothing


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"fast_weights": "soft", "mode": "rl"}, "mode 'rl' has none; leave it at text"),
        ({"fast_weights": "soft", "mode": "rl_prompt"}, "is for the modes fst and prompt, not for 'rl_prompt'"),
        ({"fast_weights": "both", "mode": "consolidate"}, "is for the modes fst and prompt"),
        ({"fast_weights": "both", "population_size": 1}, "needs a place for each kind"),
        ({"fast_weights": "hard"}, "fast_weights is 'text', 'soft' or 'both', got 'hard'"),
        ({"soft_tokens": 9}, "set it to soft or both"),
        ({"soft_learning_rate": 0.5}, "set it to soft or both"),
        ({**SOFT, "soft_tokens": 0}, "soft_tokens must be at least 1"),
        ({**SOFT, "engine": "vllm", "engine_urls": ["http://127.0.0.1:1"]}, "cannot be sent rows"),
        ({**SOFT, "clusters": "labels"}, "leave it at none"),
        ({**SOFT, "prefix_gradient": "stop"}, "keeps gradients from the rows"),
        ({**SOFT, "advantages": "critic"}, "leave it at group"),
        ({**SOFT, "repetition_penalty": 1.1}, "leave it at 1.0"),
        ({**SOFT, "router": "fast"}, "leave it at both"),
        (
            {**SOFT, "retention_floor": 0.5, "retention_action": "rollback", "eval_strategy": "steps"},
            "another retention",
        ),
        ({**SOFT, "mode": "prompt", "lora_r": 4}, "lora_r is about weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_mean_nothing_with_soft_contexts_are_refused(
    tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        FastSlowConfig(**tiny_settings(tmp_path, **overrides))
