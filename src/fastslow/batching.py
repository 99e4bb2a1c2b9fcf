"""From routed rollouts to micro-batches: which rows can change the weights, and how much each counts.

Everything here is arithmetic on small tensors, the same on every rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# TRL's losses by what it divides by: all completion tokens of the batch, or the rows of a micro-batch.
TOKEN_SUM_LOSSES = frozenset({"cispo", "dapo", "vespo"})
TOKEN_MEAN_LOSSES = frozenset({"bnpo"})


@dataclass(frozen=True)
class RowPlan:
    """What each of the batch's N rows (all ranks) is good for.

    counted_N: routed to the slow channel and scored: the row belongs in every denominator.
    live_N: counted, and able to move the weights: its forward and backward are worth paying for.
    weight_N: factor on the row's advantage (1 unless losses are aggregated per problem).
    items: completion tokens of the counted rows (TRL's `num_items_in_batch`).
    """

    counted_N: Bool[Tensor, " N"]
    live_N: Bool[Tensor, " N"]
    weight_N: Float[Tensor, " N"]
    items: int


def plan_rows(
    *,
    rewards_N: Float[Tensor, " N"],
    lengths_N: Int[Tensor, " N"],
    slow_B: Bool[Tensor, " B"],
    per_problem: bool,
    regularised: bool,
) -> RowPlan:
    """Decide over the rows of a whole generation batch.

    Args:
        rewards_N: rewards in group order, NaN where unscored.
        lengths_N: completion tokens.
        slow_B: groups whose route includes the slow channel.
        per_problem: give every problem's tokens the same total weight (the paper's CISPO, as in ScaleRL) instead
            of every token the same weight.
        regularised: a KL or entropy term acts on every counted row, so that rows without an advantage are live.
    """
    group = rewards_N.numel() // slow_B.numel()
    rewards_B_G = rewards_N.view(-1, group)
    scored_B_G = ~rewards_B_G.isnan()
    counted_B_G = scored_B_G & slow_B[:, None]
    # A group without spread has no advantage; rounding in (r - mean) / (std + eps) must not invent one.
    high_B = rewards_B_G.nan_to_num(nan=-torch.inf).amax(1)
    low_B = rewards_B_G.nan_to_num(nan=torch.inf).amin(1)
    spread_B_G = (high_B > low_B)[:, None].expand_as(counted_B_G)
    speaks_B_G = (lengths_N > 0).view(-1, group)  # TRL empties truncated completions when told to mask them
    live_B_G = counted_B_G & speaks_B_G if regularised else counted_B_G & speaks_B_G & spread_B_G
    tokens_B = (lengths_N.view(-1, group) * counted_B_G).sum(1)
    items = int(tokens_B.sum())
    weight_B_G = torch.ones_like(rewards_B_G)
    if per_problem and items:
        problems = int((tokens_B > 0).sum())
        weight_B_G = (items / (problems * tokens_B.clamp(min=1)))[:, None].expand_as(rewards_B_G)
    return RowPlan(
        counted_N=counted_B_G.reshape(-1),
        live_N=live_B_G.reshape(-1),
        weight_N=torch.where(spread_B_G, weight_B_G, 0.0).reshape(-1),
        items=items,
    )


@dataclass(frozen=True)
class MicroBatch:
    """Row indices (local to the rank) of one forward. A placeholder row keeps a rank in step and weighs nothing."""

    rows: list[int]
    placeholder: bool = False


def micro_batches(rows: Sequence[int], *, needed: int, slots: int) -> list[MicroBatch | None]:
    """Spread a rank's live rows over `needed` of its `slots` accumulation slots; None where no rank has anything to do.

    `needed` is the most that any rank needs: all run the same slots, or collectives would hang. The last slots are
    the ones in use, because distributed data parallel exchanges gradients in the last one.
    """
    batches: list[MicroBatch | None] = [None] * (slots - needed)
    for i in range(needed):
        mine = list(rows[i * len(rows) // needed : (i + 1) * len(rows) // needed])
        batches.append(MicroBatch(mine) if mine else MicroBatch([0], placeholder=True))
    return batches


def loss_scale(
    loss_type: str, *, rows: int, tokens: int, counted_rows: int, items: int, slots: int, processes: int
) -> float:
    """Factor that makes a micro-batch's loss its fair share of the whole batch's.

    TRL divides token-sum losses by the batch's tokens, whatever the micro-batches: 1. The others are means over a
    micro-batch, averaged over accumulation slots and ranks; once rows are left out, a mean over fewer rows must
    count for less. Exactly 1 when nothing was left out and the rows split evenly.
    """
    if loss_type in TOKEN_SUM_LOSSES:
        return 1.0
    if loss_type in TOKEN_MEAN_LOSSES:
        return tokens * slots * processes / max(items, 1)
    return rows * slots * processes / max(counted_rows, 1)
