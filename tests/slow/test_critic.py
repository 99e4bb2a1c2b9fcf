"""A critic in place of the other rollouts: its advantages are PPO's, and the weights never move for its sake."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.types import Rollout
from fastslow.slow.critic import Critic, Judged, gains, value_loss
from fastslow.slow.trainer import SlowTrainer
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.stock import Case, model_in, moved_away, our_step, rollouts_of

WITH_CRITIC: dict[str, Any] = {"advantages": "critic", "critic_warmup_steps": 0}
SMOOTHING = 0.6


def fresh(width: int = 4, **overrides: Any) -> Critic:
    usual = {"critic_lambda": 1.0, "critic_clip": 0.2, "critic_warmup_steps": 5, "critic_learning_rate": 0.03}
    return Critic(SimpleNamespace(**{**usual, **overrides}), width=width, device=torch.device("cpu"))


# Advantages


def test_gains_are_those_worked_out_by_hand() -> None:
    """Tokens with values 0.5, 0.2, 0.6 and a reward of 1: the steps are -0.3, 0.4, 0.4; one token of value 0.1."""
    values = torch.tensor([[0.5, 0.2, 0.6], [0.1, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    found = gains(torch.tensor([1.0, 0.25]), values, mask, smoothing=0.5)
    wanted = [[-0.3 + 0.5 * (0.4 + 0.5 * 0.4), 0.4 + 0.5 * 0.4, 0.4], [0.15, 0.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_gains_are_the_sum_that_defines_them(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    lengths = [7, 1, 4, 0]
    values, rewards = torch.rand(4, 7, generator=draw), torch.rand(4, generator=draw)
    mask = torch.tensor([[int(t < length) for t in range(7)] for length in lengths])
    found = gains(rewards, values, mask, smoothing=SMOOTHING)
    for row, length in enumerate(lengths):
        ahead = [*values[row, 1:length].tolist(), float(rewards[row])]
        steps = [ahead[t] - float(values[row, t]) for t in range(length)]
        wanted = [sum(SMOOTHING ** (k - t) * steps[k] for k in range(t, length)) for t in range(length)]
        torch.testing.assert_close(found[row], torch.tensor(wanted + [0.0] * (7 - length)), atol=1e-6, rtol=0)


def test_without_smoothing_a_gain_is_the_reward_minus_the_value() -> None:
    values, rewards, mask = torch.rand(5, 6), torch.rand(5), torch.ones(5, 6, dtype=torch.long)
    torch.testing.assert_close(gains(rewards, values, mask, smoothing=1.0), rewards[:, None] - values)


def test_a_value_that_moved_further_than_the_clip_has_no_gradient_in_that_direction() -> None:
    first, target = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, -1.0]])
    values = torch.tensor([[0.1, 0.5]], requires_grad=True)
    loss = value_loss(values, Judged(first, target, target), clip=0.2)
    torch.testing.assert_close(loss, 0.5 * torch.tensor([[0.81, 2.25]]))
    loss.sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[-0.9, 1.5]]))
    beyond = torch.tensor([[0.5, -0.5]], requires_grad=True)
    value_loss(beyond, Judged(first, target, target), clip=0.2).sum().backward()
    assert beyond.grad is not None
    assert not beyond.grad.any(), "both went far enough towards their targets"


# Learning


def judged_and_learned(critic: Critic, hidden: torch.Tensor, rewards: torch.Tensor) -> tuple[Any, dict[str, float]]:
    """A batch of answers of one token; returns the advantages, and what was logged."""
    rows = len(rewards)
    part = {"completion_mask": torch.ones(rows, 1, dtype=torch.long), "rewards": rewards, "judged": [],
            "advantages": torch.ones(rows), "num_items_in_batch": torch.tensor(float(rows))}  # fmt: skip
    with critic.judging(part) as advantages:
        critic.hear(hidden, torch.arange(rows)[:, None])
    return advantages, critic.learn()


def test_where_every_answer_is_right_the_critic_comes_to_expect_it() -> None:
    """States share a direction, as those of language models do."""
    draw, critic = torch.Generator().manual_seed(0), fresh(64)
    shared, gained = torch.randn(64, generator=draw), torch.ones(1)
    for _ in range(50):
        gained, _ = judged_and_learned(critic, shared + 0.5 * torch.randn(128, 64, generator=draw), torch.ones(128))
    assert float(gained.square().mean().sqrt()) < 0.05, "after 50 steps, on states that it has not seen"


def test_what_hidden_states_tell_of_the_reward_is_explained() -> None:
    draw, critic = torch.Generator().manual_seed(0), fresh(32)
    shares = []
    for _ in range(60):
        hidden = torch.randn(64, 32, generator=draw)
        _, logged = judged_and_learned(critic, hidden, (hidden[:, 0] > 0).float())
        shares.append(logged["fst/critic/explained_variance"])
    assert shares[0] == pytest.approx(0.0, abs=1e-9)
    assert shares[-1] > 0.5


# A step of the trainer


def reference_step(folder: Path, rollouts: list[Rollout], head: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return by how much PPO's loss with a critic moves each weight, row by row from the formulas: no trees, no TRL."""
    model = model_in(folder)
    weights = moved_away(model)
    width, loss, items = model.config.hidden_size, torch.zeros(()), sum(len(r.completion_ids) for r in rollouts)
    for r in rollouts:
        assert r.verdict.reward is not None
        ids, first = torch.tensor([r.prompt_ids + r.completion_ids]), len(r.prompt_ids)
        output = model(input_ids=ids, output_hidden_states=True)
        logps = output.logits[0, first - 1 : -1].log_softmax(-1).gather(1, ids[0, first:, None])[:, 0]
        hidden = output.hidden_states[-1][0, first - 1 : -1].detach()
        values = nn.functional.layer_norm(hidden, hidden.shape[-1:]) @ head["weight"][0] / width**0.5 + head["bias"]
        gain, gained = 0.0, []
        for t in reversed(range(len(values))):
            ahead = float(values[t + 1]) if t + 1 < len(values) else r.verdict.reward
            gain = ahead - float(values[t]) + (SMOOTHING * gain if t + 1 < len(values) else 0.0)
            gained.insert(0, gain)
        ratio = (logps - torch.tensor(r.logprobs)).exp()
        advantage = torch.tensor(gained)
        loss = loss - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum() / items
    loss.backward()
    return {name: -w.grad for name, w in weights.items() if w.grad is not None}


@pytest.mark.parametrize("rows", [16, 3])
def test_a_step_is_that_of_ppo(tmp_path: Path, rows: int) -> None:
    case = Case({"loss_type": "dapo"}, {**WITH_CRITIC, "critic_lambda": SMOOTHING, "per_device_train_batch_size": rows},
                {"off_policy": True}, seed=11)  # fmt: skip
    rollouts = rollouts_of(case)
    width = model_of_folder(tmp_path).config.hidden_size
    draw = torch.Generator().manual_seed(1)
    head = {"weight": torch.randn(1, width, generator=draw), "bias": torch.tensor([0.3])}

    def prepare(trainer: SlowTrainer) -> None:
        assert trainer.critic is not None
        trainer.critic.load_state_dict({**trainer.critic.state_dict(), "weights": head})

    moved = our_step(tmp_path, case, rollouts, prepare=prepare).moved
    wanted = reference_step(tmp_path, rollouts, head)
    assert max(float(change.abs().max()) for change in wanted.values()) > 1e-3, "the step moves nothing"
    for name, change in wanted.items():
        torch.testing.assert_close(moved[name], change, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    assert not torch.equal(moved["critic.weight"], head["weight"]), "the critic did not learn"


def model_of_folder(folder: Path) -> Any:
    tiny_settings(folder)
    return model_in(folder)


def test_a_step_of_half_the_advantages_is_half_as_long(tmp_path: Path) -> None:
    whole, half = (
        our_step(tmp_path, case, rollouts_of(case)).moved
        for case in (Case({"loss_type": "grpo"}, WITH_CRITIC, {"advantage_scale": scale}) for scale in (1.0, 0.5))
    )
    for name in (name for name in whole if not name.startswith("critic.")):
        torch.testing.assert_close(half[name], whole[name] / 2)


def test_while_the_critic_warms_up_the_weights_rest(tmp_path: Path) -> None:
    case = Case({"beta": 0.1, "loss_type": "grpo"}, {"advantages": "critic", "critic_warmup_steps": 1}, seed=2)
    moved = our_step(tmp_path, case, rollouts_of(case)).moved
    critic = {name: moved.pop(name) for name in list(moved) if name.startswith("critic.")}
    assert all(not change.any() for change in moved.values())
    assert all(weight.any() for weight in critic.values())


def test_a_problem_can_be_rolled_out_once(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path, mode="rl", num_generations=1, problems_per_step=5, max_steps=2, loss_type="grpo", **WITH_CRITIC
    )
    start = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    assert any(not torch.equal(weight, start[name]) for name, weight in trainer.model.named_parameters())


# What means nothing


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_generations": 1}, "advantages 'critic' needs no other"),
        ({"critic_lambda": 0.9}, "set advantages to critic"),
        ({**WITH_CRITIC, "advantage_group": "context"}, "leave it at problem"),
        ({**WITH_CRITIC, "dynamic_sampling": 2}, "leave it at 0"),
        ({**WITH_CRITIC, "scale_rewards": "none"}, "leave it at group"),
        ({**WITH_CRITIC, "mode": "supervised"}, "imitates answers"),
        ({**WITH_CRITIC, "mode": "prompt"}, "trains no weights"),
        ({**WITH_CRITIC, "mode": "rl", "num_generations": 1, "problems_per_step": 1}, "at least 2 rollouts of a step"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_mean_nothing_with_a_critic_are_refused(
    tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        FastSlowConfig(**tiny_settings(tmp_path, **overrides))


def test_a_critic_without_token_trees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="reads the hidden states of token trees, but packing is off"):
        tiny_trainer(tmp_path, packing="off", **WITH_CRITIC)
