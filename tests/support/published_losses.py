"""The losses as their papers have them, written out over rows and tokens: the independent reference of tests/slow.

Nothing here is shared with TRL or with fastslow. Every function returns what is minimised, with a graph to the
log-probabilities of its rows. Where a trainer's settings are another thing than the paper's, `ALGORITHMS` says so with
a factor or another argument, and docs/training.md in words.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LENGTH = 6
"""`max_completion_length` of the tests: the constant that Dr. GRPO divides by."""


@dataclass(frozen=True)
class Row:
    """A rollout of T tokens.

    Attributes:
        logp: log-probabilities (nats) under the policy, shape (T,), with a graph.
        old: those under the policy that sampled.
        advantage: one for each token.
        ref: those under the base, for the KL term.
        problem: number of the question that it answers.
    """

    logp: Tensor
    old: Tensor
    advantage: Sequence[float]
    ref: Tensor | None = None
    problem: int = 0

    def __len__(self) -> int:
        return len(self.logp)


# Advantages: rewards of one problem -> one for each row


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """GRPO, 2402.03300, section 4.1.2: (r - mean) / std. The std is the sample's, plus 1e-4, as in TRL."""
    return [(r - statistics.fmean(rewards)) / (statistics.stdev(rewards) + 1e-4) for r in rewards]


def centred(rewards: Sequence[float]) -> list[float]:
    """Dr. GRPO, 2503.20783: r - mean."""
    return [r - statistics.fmean(rewards) for r in rewards]


def leave_one_out(rewards: Sequence[float]) -> list[float]:
    """RLOO, 2402.14740: r less the mean of the others."""
    return [r - (sum(rewards) - r) / (len(rewards) - 1) for r in rewards]


# One token


def ratio(row: Row, t: int) -> Tensor:
    return torch.exp(row.logp[t] - row.old[t])


def sequence_ratio(row: Row) -> Tensor:
    """GSPO, 2507.18071, equation 7: the geometric mean of the tokens' ratios."""
    return torch.exp(sum(row.logp[t] - row.old[t] for t in range(len(row))) / len(row))  # type: ignore[call-overload]


def clipped(r: Tensor, advantage: float, low: float, high: float, delta: float = math.inf) -> Tensor:
    """PPO, 1707.06347, equation 7: min(r A, clip(r, 1 - low, 1 + high) A). With `delta` two-sided, INTELLECT-2,
    2505.07291: min(r, delta) in place of the first r."""
    return min(r.clamp(max=delta) * advantage, r.clamp(1 - low, 1 + high) * advantage)


def soft_gate(r: Tensor, advantage: float, positive: float, negative: float) -> Tensor:
    """SAPO, 2511.20347: 4 / tau * sigmoid(tau (r - 1)), whose slope at r = 1 is 1."""
    tau = positive if advantage > 0 else negative
    return 4 / tau * torch.sigmoid(tau * (r - 1)) * advantage


def kl(row: Row, t: int, r: Tensor | None) -> Tensor:
    """The estimate of the KL to the base, of GRPO, 2402.03300, equation 4: ref / p - log(ref / p) - 1. With `r`, the
    importance ratio, times it, 2512.02556: its gradient is then that of the KL."""
    assert row.ref is not None
    gap = row.ref[t] - row.logp[t]
    return (torch.exp(gap) - gap - 1) * (1.0 if r is None else r)


@dataclass(frozen=True)
class Penalty:
    """The KL term of a loss: its coefficient, and whether it is weighed by the importance ratio."""

    beta: float = 0.0
    weighed: bool = True

    def __call__(self, row: Row, t: int, r: Tensor) -> Tensor | float:
        return self.beta * kl(row, t, r if self.weighed else None) if self.beta else 0.0


NONE = Penalty()


# Losses


def grpo(rows: Sequence[Row], penalty: Penalty = NONE, *, low=0.2, high=0.2, delta=math.inf) -> Tensor:
    """2402.03300, equation 3: the mean over rows of the mean over their tokens."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        for t in range(len(row)):
            r = ratio(row, t)
            loss -= (clipped(r, row.advantage[t], low, high, delta) - penalty(row, t, r)) / len(row)
    return loss / len(rows)


def dapo(rows: Sequence[Row], penalty: Penalty = NONE, *, low=0.2, high=0.28, delta=math.inf) -> Tensor:
    """2503.14476, equation 8: the mean over all tokens."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        for t in range(len(row)):
            r = ratio(row, t)
            loss -= clipped(r, row.advantage[t], low, high, delta) - penalty(row, t, r)
    return loss / sum(len(row) for row in rows)


def dr_grpo(rows: Sequence[Row], penalty: Penalty = NONE, *, low=0.2, high=0.2, delta=math.inf) -> Tensor:
    """2503.20783: the mean over rows of the sum over their tokens. (The paper's code divides by a constant as well.)"""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        for t in range(len(row)):
            r = ratio(row, t)
            loss -= clipped(r, row.advantage[t], low, high, delta) - penalty(row, t, r)
    return loss / len(rows)


def gspo(rows: Sequence[Row], penalty: Penalty = NONE, *, low=3e-4, high=4e-4) -> Tensor:
    """2507.18071, equation 5: the mean over rows, each with one ratio and (equation 13 otherwise) one advantage. The
    paper has no KL term; here that of a row is the mean over its tokens."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        r = sequence_ratio(row)
        for t in range(len(row)):
            loss -= (clipped(r, row.advantage[t], low, high) - penalty(row, t, r)) / len(row)
    return loss / len(rows)


def luspo(rows: Sequence[Row], penalty: Penalty = NONE, *, low=0.2, high=0.2) -> Tensor:
    """2602.05261: GSPO with each row times its length. The KL term here is a sum over a row's tokens."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        r = sequence_ratio(row)
        for t in range(len(row)):
            loss -= clipped(r, row.advantage[t], low, high) - penalty(row, t, r)
    return loss / len(rows)


def sapo(rows: Sequence[Row], penalty: Penalty = NONE, *, positive=1.0, negative=1.05) -> Tensor:
    """2511.20347: the mean over rows of the mean over their tokens."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        for t in range(len(row)):
            r = ratio(row, t)
            loss -= (soft_gate(r, row.advantage[t], positive, negative) - penalty(row, t, r)) / len(row)
    return loss / len(rows)


def cispo(rows: Sequence[Row], penalty: Penalty = NONE, *, least=0.0, most=4.0, by_problem=False) -> Tensor:
    """MiniMax-M1, 2506.13585, equations 4 and 5: a constant, clipped ratio times A log p; the mean over all tokens, or,
    `by_problem`, ScaleRL, 2510.13786: the mean over problems of the mean over theirs. (The KL term, which neither has,
    is a mean over all tokens.)"""
    policy, term = [], []
    for row in rows:
        for t in range(len(row)):
            r = ratio(row, t)
            policy.append((row.problem, -r.detach().clamp(least, most) * row.advantage[t] * row.logp[t]))
            term.append(penalty(row, t, r))
    problems = {row.problem for row in rows} if by_problem else {None}
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for problem in problems:
        own = [value for of, value in policy if problem in (None, of)]
        loss += sum(own) / len(own) / len(problems)
    return loss + sum(term) / len(term)


def vespo(rows: Sequence[Row], penalty: Penalty = NONE, *, k=(2.0, 3.0), lambdas=(3.0, 2.0)) -> Tensor:
    """2602.10693: phi(w) A log p, the mean over all tokens, with the kernel phi(w) = w^k exp(lambda (1 - w)) of the
    product w of a row's ratios, a constant; `k` and `lambdas` are those of advantages that are not negative, and of
    negative ones."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        w = math.exp(sum(float(row.logp[t].detach() - row.old[t]) for t in range(len(row))))
        for t in range(len(row)):
            sign = int(row.advantage[t] < 0)
            phi = w ** k[sign] * math.exp(lambdas[sign] * (1 - w))
            loss -= phi * row.advantage[t] * row.logp[t]
            loss += penalty(row, t, ratio(row, t))
    return loss / sum(len(row) for row in rows)


def reinforce(rows: Sequence[Row], penalty: Penalty = NONE) -> Tensor:
    """Williams 1992, doi 10.1007/BF00992696, with a baseline: the mean over rows of - A log p of a whole row, as in
    RLOO, 2402.14740. No ratio: rows are the policy's own."""
    loss = torch.zeros((), dtype=rows[0].logp.dtype)
    for row in rows:
        loss -= sum(row.advantage[t] * row.logp[t] for t in range(len(row)))
        loss += sum(penalty(row, t, ratio(row, t)) for t in range(len(row)))
    return loss / len(rows)


# What a user sets, and what it comes to


@dataclass(frozen=True)
class Algorithm:
    """A row of the table in docs/training.md.

    Attributes:
        name: as in the table.
        settings: those of a run, as in the table.
        loss: of rows and a penalty.
        advantages: of the rewards of one problem.
        factor: rows -> what the trainer's loss is a multiple of the published one by.
        own_rows: the loss is defined for the policy's own rollouts, whose ratios are 1.
        value: whether the value is the published one too, and not its gradient alone (the trainer's is that of a
            ratio times A).
        penalised: whether the factor is that of the KL term too.
    """

    name: str
    settings: dict[str, Any]
    loss: Callable[..., Tensor]
    advantages: Callable[[Sequence[float]], list[float]] = group_advantages
    factor: Callable[[Sequence[Row]], float] = lambda rows: 1.0
    own_rows: bool = False
    value: bool = True
    penalised: bool = True

    def published(self, rows: Sequence[Row], penalty: Penalty = NONE) -> Tensor:
        """What the trainer's loss has to be."""
        return self.factor(rows) * self.loss(rows, penalty)


def _by_problem(rows: Sequence[Row], penalty: Penalty = NONE) -> Tensor:
    return cispo(rows, penalty, by_problem=True)


ALGORITHMS = [
    Algorithm("CISPO", {"loss_type": "cispo"}, _by_problem),
    Algorithm("CISPO, by token", {"loss_type": "cispo", "loss_aggregation": "token"}, cispo),
    Algorithm("GRPO", {"loss_type": "grpo"}, grpo),
    Algorithm(
        "Dr. GRPO", {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0}, dr_grpo, centred,
        lambda rows: 1 / LENGTH,
    ),
    Algorithm(
        "DAPO", {"loss_type": "dapo", "loss_aggregation": "token", "epsilon_high": 0.28, "beta": 0}, dapo,
    ),
    Algorithm(
        "GSPO",
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4,
         "beta": 0}, gspo,
    ),
    Algorithm("BNPO", {"loss_type": "bnpo"}, lambda rows, penalty=NONE: dapo(rows, penalty, high=0.2)),
    Algorithm("LUSPO", {"loss_type": "luspo"}, luspo),
    Algorithm("SAPO", {"loss_type": "sapo"}, sapo),
    Algorithm("VESPO", {"loss_type": "vespo", "loss_aggregation": "token"}, vespo),
    Algorithm(
        "RLOO", {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0}, reinforce, leave_one_out,
        lambda rows: (1 - 1 / sum(row.problem == rows[0].problem for row in rows)) / LENGTH,
        own_rows=True, value=False, penalised=False,
    ),
    Algorithm(
        "REINFORCE, group mean as baseline",
        {"loss_type": "cispo", "loss_aggregation": "token", "scale_rewards": "none"}, reinforce, centred,
        lambda rows: len(rows) / sum(len(row) for row in rows), own_rows=True,
    ),
]  # fmt: skip
