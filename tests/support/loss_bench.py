"""The batch on which losses are held to their papers, and loss and gradient of the project's trainer on it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastslow.core.types import Rollout, Verdict
from fastslow.slow.trainer import SlowTrainer
from tests.support.published_losses import LENGTH, NONE, Algorithm, Penalty, Row
from tests.support.stock import GROUP, LONGEST, PROBLEMS, ROWS, Case, model_in, moved_away, our_trainer, rollouts_of

assert LENGTH == LONGEST
BETA = 0.1
SPREADS = (1e-4, 0.05, 0.4, 1.5)
"""Of a row's log-ratios: within GSPO's bounds, within those of the others, about them, and far away on both sides."""


def rollouts_with(logp: Sequence[Tensor], seed: int) -> list[Rollout]:
    """Rollouts of other policies than the one with these log-probabilities. The rewards of the first problem are all
    equal, and two of the second are its mean: advantages of 0."""
    draw, rollouts = random.Random(seed), []
    for number, (rollout, own) in enumerate(zip(rollouts_of(Case(seed=1)), logp, strict=True)):
        spread = SPREADS[(number + number // GROUP + seed) % len(SPREADS)]
        reward = (0.0, 0.5, 1.0, 0.5)[number % GROUP] if number // GROUP == 1 else rollout.verdict.reward
        old = tuple(value - draw.gauss(0, spread) for value in own.tolist())
        rollouts.append(replace(rollout, logprobs=old, verdict=Verdict(reward, "")))
    return rollouts


def random_scores(seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Log-probabilities of every row's tokens under a policy and under a base."""
    draw = torch.Generator().manual_seed(seed)
    lengths = [len(rollout.completion_ids) for rollout in rollouts_of(Case(seed=1))]
    logp = [-8 * torch.rand(length, generator=draw) for length in lengths]
    return logp, [row + torch.randn(len(row), generator=draw) / 2 for row in logp]


def published(
    algorithm: Algorithm, rollouts: Sequence[Rollout], logp: Sequence[Tensor], ref: Sequence[Tensor], penalty: Penalty
) -> tuple[float, list[Tensor]]:
    """The published loss in fp64, and its gradient by the log-probabilities."""
    own = [row.detach().double().requires_grad_() for row in logp]
    rewards = [float(r.verdict.reward) for r in rollouts]  # type: ignore[arg-type]
    advantages = [a for p in range(PROBLEMS) for a in algorithm.advantages(rewards[p * GROUP : (p + 1) * GROUP])]
    rows = [
        Row(
            own[i],
            own[i].detach() if algorithm.own_rows else torch.tensor(rollouts[i].logprobs).double(),
            [advantages[i]] * len(own[i]),
            ref[i].detach().double(),
            i // GROUP,
        )
        for i in range(ROWS)
    ]
    loss = algorithm.published(rows, penalty)
    return float(loss.detach()), list(torch.autograd.grad(loss, own, materialize_grads=True))


def penalties(algorithm: Algorithm) -> tuple[Penalty, ...]:
    """KL terms to look at: none, TRL's by default (weighed by the ratio), and GRPO's own."""
    return (NONE, Penalty(BETA), Penalty(BETA, weighed=False)) if algorithm.penalised else (NONE,)


def usual_penalty(algorithm: Algorithm) -> Penalty:
    """The KL term of `case_of`."""
    return Penalty(BETA) if algorithm.penalised else NONE


def case_of(algorithm: Algorithm, **ours: Any) -> Case:
    """A step of this algorithm, with a KL term where the reference has one."""
    aggregation = algorithm.settings.get("loss_aggregation", "problem")
    return Case(
        {**algorithm.settings, "beta": usual_penalty(algorithm).beta},
        {"loss_aggregation": aggregation, "per_device_train_batch_size": 2, **ours},
        {"off_policy": not algorithm.own_rows},
    )


class LossBench:
    """A trainer of one algorithm, whose loss and gradient are taken without a step."""

    def __init__(self, folder: Path, algorithm: Algorithm):
        self.algorithm = algorithm
        self.trainer: Any = our_trainer(folder, case_of(algorithm), rollouts_of(Case(seed=1)))
        self.trainer.model.train()

    def loss(self, rollouts: Sequence[Rollout], penalty: Penalty, *, trees: bool, rows: int) -> float:
        """Add the gradient of this batch to what it is for, at most `rows` of it a forward, and return its loss."""
        trainer = self.trainer
        trainer.packing_problem = None if trees else "these are padded"
        trainer.args.per_device_train_batch_size = rows
        trainer.args.use_bias_correction_kl = penalty.weighed
        trainer.current_gradient_accumulation_steps = trainer.slots
        batch = replace(trainer.source.batch, rollouts=tuple(rollouts), beta=penalty.beta)
        parts = [part for part in trainer._micro_batches(batch, ROWS) if not part.get("empty")]
        assert (len(parts) > 1) == (rows < ROWS), "as many forwards as were meant"
        losses = [trainer._compute_loss(trainer.model, part) for part in parts]
        torch.stack(losses).sum().backward()
        return sum(float(loss.detach()) for loss in losses)

    def of_table(self, rollouts: Sequence[Rollout], logp: Sequence[Tensor], ref: Sequence[Tensor]) -> Any:
        """What stands in for the models' forwards: the log-probabilities of a table, and a number that nobody may use
        where a row is padded."""
        known = {rollout.prompt_ids + rollout.completion_ids: i for i, rollout in enumerate(rollouts)}

        def scores(model: Any, ids: Tensor, mask: Tensor, keep: int, *args: Any, **kwargs: Any) -> Any:
            table = ref if model is self.trainer.ref_model else logp
            found = [table[known[tuple(row[m.bool()].tolist())]] for row, m in zip(ids, mask, strict=True)]
            padded = torch.stack([torch.nn.functional.pad(row, (0, keep - len(row)), value=-3.0) for row in found])
            return padded, torch.ones_like(padded), None

        return scores


@dataclass(frozen=True)
class Truth:
    """Log-probabilities by plain forwards, row by row: of the policy, with a graph to its weights, and of the base."""

    weights: dict[str, torch.nn.Parameter]
    logp: list[Tensor]
    ref: list[Tensor]

    def gradient(self, by_logp: Sequence[Tensor]) -> dict[str, Tensor]:
        """The gradient by the weights that belongs to one by the log-probabilities."""
        found = torch.autograd.grad(
            self.logp, list(self.weights.values()), [g.float() for g in by_logp], retain_graph=True
        )
        return dict(zip(self.weights, found, strict=True))


def truth_in(folder: Path) -> Truth:
    """Of the model saved there, and the weights that `our_step` begins with."""
    base, policy = model_in(folder), model_in(folder)
    weights = moved_away(policy)
    rollouts = rollouts_of(Case(seed=1))
    return Truth(weights, [_scored(policy, r) for r in rollouts], [_scored(base, r).detach() for r in rollouts])


def _scored(model: Any, rollout: Rollout) -> Tensor:
    ids = torch.tensor([rollout.prompt_ids + rollout.completion_ids])
    logp = model(ids).logits[0].log_softmax(-1)
    first = len(rollout.prompt_ids)
    return torch.stack([logp[t - 1, ids[0, t]] for t in range(first, ids.shape[1])])


def trained(trainer: SlowTrainer) -> dict[str, Tensor]:
    """The gradients of the trainer's weights, which are forgotten."""
    found = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad()
    return found
