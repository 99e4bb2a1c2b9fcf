"""Every term of the loss is that of a stock TRL trainer, whatever memory allows and however rows leave.

The reference is TRL's own trainer on the same completions and rewards, all rows in one forward. Rows that train nothing
(their group is routed to the contexts alone, or nobody could score them) are not given to it, because they count for
nothing; rows without an advantage and rows emptied by `mask_truncated_completions` are.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.slow.batches import TOKEN_SUM_LOSSES
from fastslow.slow.settings import LOSSES, ONE_LEVEL
from tests.support.on_two import CASES as CASES_ON_TWO
from tests.support.on_two import steps_of
from tests.support.runs import tiny_settings
from tests.support.stock import GROUP, PROBLEMS, ROWS, Case, our_step, rollouts_of, stock_step
from tests.support.tiny import save_tiny, tiny_tokenizer

CASES = 64
CLOSE = 1e-5
# Rows of a problem that one context answered, as advantage_group=context compares them.
BY_CONTEXT = tuple(2 * (row // GROUP) + row % 2 for row in range(ROWS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved tiny model, for all cases."""
    folder = tmp_path_factory.mktemp("terms")
    save_tiny(folder / "model")
    return folder


def cases() -> list[Case]:
    """A seeded choice over the product of losses, terms, masks, ways in which rows leave, and memory settings."""
    draw = random.Random(20)
    found = []
    for number in range(CASES):
        loss = LOSSES[(number + number // len(LOSSES)) % len(LOSSES)]
        trl: dict[str, Any] = {
            "loss_type": loss,
            "beta": draw.choice([0.0, 0.1]),
            "entropy_coef": draw.choice([0.0, 0.2]),
            # (at 0.4 the threshold may be a token's own entropy, and TRL's interpolation rounds to either side of it)
            "top_entropy_quantile": draw.choice([1.0, 1.0, 0.37]),
            "mask_truncated_completions": draw.choice([False, True]),
            "importance_sampling_level": draw.choice(["token", "token", "sequence"]),
            "scale_rewards": draw.choice(["group", "group", "batch", "none"]),
            "epsilon_high": 4.0 if loss == "cispo" else 0.2,
        }
        trl["importance_sampling_level"] = ONE_LEVEL.get(loss, trl["importance_sampling_level"])
        if draw.random() < 0.2:
            trl["use_bias_correction_kl"] = True
        if draw.random() < 0.2:
            trl["off_policy_mask_threshold"] = 0.1
        if draw.random() < 0.2:
            trl["reward_weights"] = [0.5]
        batch: dict[str, Any] = {"slow_B": draw.choice([(True,) * PROBLEMS, (True, False, True, True)])}
        unscored = draw.random() < 0.3
        if number % 4 == 0:  # a stock trainer's own step, but for memory and the terms
            batch = {"slow_B": (True,) * PROBLEMS}
            unscored = False
        elif draw.random() < 0.5:
            batch["off_policy"] = True
        if number % 4 and draw.random() < 0.2:
            batch["parts_N"] = BY_CONTEXT
        if number % 4 and draw.random() < 0.2:
            batch["advantage_scale"] = 0.5
        ours = {
            "packing": draw.choice(["on", "off"]),
            "per_device_train_batch_size": draw.choice([1, 2, 4, 16]),
            "loss_aggregation": draw.choice(["token", "problem"])
            if number % 4 and loss in TOKEN_SUM_LOSSES
            else "token",
        }
        found.append(Case(trl, ours, batch, unscored, draw.random() < 0.25, seed=number))
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.seed))
def test_a_step_is_a_stock_trainers(folder: Path, case: Case) -> None:
    rollouts = rollouts_of(case)
    ours, stock = our_step(folder, case, rollouts), stock_step(folder, case, rollouts)
    assert max(float(change.abs().max()) for change in stock.moved.values()) > 1e-3, "the step moved nothing"
    assert ours.loss == pytest.approx(stock.loss, abs=CLOSE), case
    assert set(ours.moved) == set(stock.moved)
    for name, change in stock.moved.items():
        torch.testing.assert_close(
            ours.moved[name], change, atol=CLOSE, rtol=0, msg=lambda m, n=name: f"{case}, {n}: {m}"
        )


def test_the_cases_are_a_stock_trainers_own_where_nothing_leaves() -> None:
    ways = ("off_policy", "parts_N", "advantage_scale")
    plain = [c for c in cases() if not c.unscored and all(c.batch["slow_B"]) and not any(map(c.batch.get, ways))]
    plain = [case for case in plain if case.ours["loss_aggregation"] == "token"]
    assert len(cases()) >= 60
    assert len(plain) >= 10, "some cases must be held to TRL without any change to it"


@pytest.mark.parametrize("loss", LOSSES)
def test_the_entropy_bonus_does_not_depend_on_memory(folder: Path, loss: str) -> None:
    """Without advantages the bonus is all there is: what is left of it at two rows a forward, in trees."""
    trl = {"loss_type": loss, "entropy_coef": 0.2, "epsilon_high": 4.0 if loss == "cispo" else 0.2}
    rollouts = rollouts_of(Case(seed=1))
    steps = [
        our_step(folder, Case(trl, {"per_device_train_batch_size": rows}, {"advantage_scale": 0.0}), rollouts)
        for rows in (ROWS, 2)
    ]
    assert abs(steps[0].loss) > 0.5
    assert steps[1].loss == pytest.approx(steps[0].loss, abs=CLOSE)


def test_an_adapted_entropy_coefficient_does_not_depend_on_memory(folder: Path) -> None:
    trl = {"use_adaptive_entropy": True, "entropy_coef": 0.1, "entropy_target": 9.0, "loss_type": "grpo"}
    rollouts = rollouts_of(Case(seed=2))
    whole, parts = (
        our_step(folder, Case(trl, {"per_device_train_batch_size": rows}), rollouts, steps=3) for rows in (ROWS, 2)
    )
    assert whole.metrics["entropy_coef"][-1] > 0.1
    assert parts.metrics["entropy_coef"] == pytest.approx(whole.metrics["entropy_coef"])
    for name, change in whole.moved.items():
        torch.testing.assert_close(parts.moved[name], change, atol=5e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_a_weight_of_the_reward_reaches_advantages_within_a_context(folder: Path) -> None:
    rollouts = rollouts_of(Case(seed=3))
    whole, half = (
        our_step(
            folder, Case({"scale_rewards": "none", "reward_weights": [weight]}, {}, {"parts_N": BY_CONTEXT}), rollouts
        )
        for weight in (1.0, 0.5)
    )
    for name, change in whole.moved.items():
        torch.testing.assert_close(half.moved[name], change / 2, atol=CLOSE, rtol=0)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved tiny mixture of experts."""
    folder, tokenizer = tmp_path_factory.mktemp("experts"), tiny_tokenizer()
    end, pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2,
        router_aux_loss_coef=0.5, eos_token_id=end, pad_token_id=pad,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen3MoeForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder


@pytest.mark.parametrize("loss", ["cispo", "grpo", "bnpo"])
def test_the_load_balancing_loss_of_experts_is_a_stock_trainers(experts: Path, loss: str) -> None:
    trl = {"loss_type": loss, "entropy_coef": 0.2, "mask_truncated_completions": True,
           "epsilon_high": 4.0 if loss == "cispo" else 0.2}  # fmt: skip
    case = Case(trl, {"per_device_train_batch_size": ROWS}, {"slow_B": (True, False, True, True)}, unscored=True)
    rollouts = rollouts_of(case)
    ours, stock = our_step(experts, case, rollouts), stock_step(experts, case, rollouts)
    assert ours.loss == pytest.approx(stock.loss, abs=CLOSE)
    for name, change in stock.moved.items():
        torch.testing.assert_close(ours.moved[name], change, atol=CLOSE, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("loss", ["cispo", "grpo"])
@pytest.mark.parametrize(("rows", "slow_B"), [(8, True), (4, True), (8, False)])
def test_the_load_balancing_loss_in_parts_is_a_stock_trainers_in_the_same_parts(
    experts: Path, loss: str, rows: int, slow_B: bool
) -> None:
    """TRL adds that of each forward, and takes the mean over them: so do we, where the forwards hold the same rows."""
    trl = {"loss_type": loss, "epsilon_high": 4.0 if loss == "cispo" else 0.2}
    case = Case(trl, {"per_device_train_batch_size": rows}, {"slow_B": (True, slow_B, True, True)})
    rollouts = rollouts_of(case)
    ours, stock = our_step(experts, case, rollouts), stock_step(experts, case, rollouts, rows_per_forward=rows)
    assert len(ours.metrics["aux_loss"]) == len(stock.metrics["aux_loss"]) == ROWS // rows
    assert ours.loss == pytest.approx(stock.loss, abs=CLOSE)
    for name, change in stock.moved.items():
        torch.testing.assert_close(ours.moved[name], change, atol=CLOSE, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_the_load_balancing_loss_of_several_forwards_is_the_mean_by_rows(experts: Path) -> None:
    """Also where the forwards hold different numbers of rows. Without advantages it is all there is of the loss."""
    case = Case({}, {"per_device_train_batch_size": 4}, {"advantage_scale": 0.0}, unscored=True, seed=4)
    rollouts = rollouts_of(case)
    rows = sum(r.verdict.reward is not None for r in rollouts)
    step = our_step(experts, case, rollouts)
    losses, parts = step.metrics["aux_loss"], len(step.metrics["aux_loss"])
    sizes = [(i + 1) * rows // parts - i * rows // parts for i in range(parts)]
    assert len(set(sizes)) > 1, "rows that split evenly show nothing"
    mean = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / rows
    assert step.loss == pytest.approx(0.5 * mean, abs=CLOSE)


def test_a_load_balancing_loss_that_would_count_spare_rows_is_refused(
    experts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case({"loss_type": "grpo"}, {"per_device_train_batch_size": 8})
    rollouts = rollouts_of(case)
    monkeypatch.setattr("accelerate.Accelerator.num_processes", property(lambda self: 2))
    with pytest.raises(BadInput, match="would count them; take cispo, one process, or router_aux_loss_coef 0"):
        our_step(experts, case, rollouts)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_entropy_quantile": 1.5}, "top_entropy_quantile must be at most 1"),
        ({"top_entropy_quantile": -0.1}, "top_entropy_quantile must not be negative"),
        ({"advantage_group": "context", "multi_objective_aggregation": "normalize_then_sum"}, "leave it at"),
    ],
)
def test_what_the_loss_cannot_do_is_refused(folder: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        FastSlowConfig(**tiny_settings(folder, **settings))


@pytest.mark.processes
def test_two_processes_take_the_steps_of_one(folder: Path, on_two: dict[str, Any]) -> None:
    """Also where all rows of one of them are routed away: losses are averaged over processes, as gradients are."""
    losses, moved = on_two["losses"]["cases"], on_two["moved"]["cases"]
    for at, one in enumerate(steps_of(folder)):
        assert sum(own[at] for own in losses) / 2 == pytest.approx(one.loss, abs=CLOSE), CASES_ON_TWO[at]
        for name, change in one.moved.items():
            torch.testing.assert_close(moved[at][name], change, atol=CLOSE, rtol=0)
