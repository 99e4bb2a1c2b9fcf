"""Plan micro-batches from routed rollouts: which rows can change the weights, and how much each row counts.

Everything here is arithmetic on small tensors, the same on every rank.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# TRL's losses by what it divides by: all completion tokens of the batch, or the rows of a micro-batch.
TOKEN_SUM_LOSSES = frozenset({"cispo", "dapo", "vespo"})
TOKEN_MEAN_LOSSES = frozenset({"bnpo"})
# TRL's losses that clip: of these it gathers a number for each row from all processes.
ROWS_GATHERED = frozenset({"bnpo", "dapo", "dr_grpo", "grpo", "luspo"})


def loss_mask(scored: Mapping[str, Any]) -> Int[Tensor, "N T"]:
    """Return which completion tokens of TRL's batch count in the loss: not padding, nor what an environment said."""
    return scored["completion_mask"] * scored.get("tool_mask", 1)


@dataclass(frozen=True)
class RowPlan:
    """The role of each of the batch's N rows (all ranks).

    counted_N: routed to the slow channel and scored: the row belongs in every denominator.
    live_N: counted, and able to move the weights: its forward and backward are worth paying for.
    weight_N: factor on the row's advantage (1 unless losses are aggregated per problem).
    items: completion tokens of the counted rows (TRL's `num_items_in_batch`).
    live_tokens: completion tokens of the live rows.
    """

    counted_N: Bool[Tensor, " N"]
    live_N: Bool[Tensor, " N"]
    weight_N: Float[Tensor, " N"]
    items: int
    live_tokens: int


def plan_rows(
    *,
    rewards_N: Float[Tensor, " N"],
    lengths_N: Int[Tensor, " N"],
    slow_B: Bool[Tensor, " B"],
    per_problem: bool,
    regularised: bool,
    prompts_count: bool = False,
    parts_N: Sequence[int] | None = None,
    problems_B: Sequence[int] | None = None,
    alone_N: Sequence[bool] | None = None,
) -> RowPlan:
    """Decide over the rows of a whole generation batch.

    Args:
        rewards_N: rewards in group order, NaN where unscored.
        lengths_N: completion tokens.
        slow_B: groups whose route includes the slow channel.
        per_problem: give every problem's tokens the same total weight (the paper's CISPO, as in ScaleRL) instead
            of every token the same weight.
        regularised: a KL or entropy term acts on every counted row, so that rows without an advantage are live.
        prompts_count: a term acts on prompts too (the load-balancing loss of experts), so that every counted row is
            live, even without completion tokens.
        parts_N: rows whose rewards are compared with each other share a number; None: those of a problem.
        problems_B: groups of one problem share a number below B; None: each has a problem of its own.
        alone_N: rows that have an advantage without any comparison, being imitated or judged by a critic; no other row
            counts. None: advantages come from differences between rewards.
    """
    group = rewards_N.numel() // slow_B.numel()
    rewards_B_G = rewards_N.view(-1, group)
    scored_B_G = ~rewards_B_G.isnan()
    counted_B_G = scored_B_G & slow_B[:, None]
    # Rows without spread have no advantage; rounding in (r - mean) / (std + eps) must not invent one.
    own_N = torch.arange(rewards_N.numel()) // group
    spread_B_G = _spread(rewards_N, own_N if parts_N is None else torch.as_tensor(parts_N)).view_as(counted_B_G)
    if alone_N is not None:
        spread_B_G = torch.as_tensor(alone_N).view_as(counted_B_G)
        counted_B_G = counted_B_G & spread_B_G
    speaks_B_G = (lengths_N > 0).view(-1, group)  # TRL empties truncated completions when told to mask them
    live_B_G = counted_B_G & speaks_B_G if regularised else counted_B_G & speaks_B_G & spread_B_G
    if prompts_count:
        live_B_G = counted_B_G
    tokens_B = (lengths_N.view(-1, group) * counted_B_G).sum(1)
    items = int(tokens_B.sum())
    weight_B_G = torch.ones_like(rewards_B_G)
    if per_problem and items:
        problem_B = torch.arange(slow_B.numel()) if problems_B is None else torch.as_tensor(problems_B)
        of_problem = torch.zeros_like(tokens_B).index_add_(0, problem_B, tokens_B)
        problems, tokens_B = int((of_problem > 0).sum()), of_problem[problem_B]
        weight_B_G = (items / (problems * tokens_B.clamp(min=1)))[:, None].expand_as(rewards_B_G)
    return RowPlan(
        counted_N=counted_B_G.reshape(-1),
        live_N=live_B_G.reshape(-1),
        weight_N=torch.where(spread_B_G, weight_B_G, 0.0).reshape(-1),
        items=items,
        live_tokens=int((lengths_N.view(-1, group) * live_B_G).sum()),
    )


def _spread(rewards_N: Float[Tensor, " N"], parts_N: Int[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """Return whether scored rewards differ within the part that a row belongs to."""
    high_N = torch.full_like(rewards_N, -torch.inf)
    low_N = torch.full_like(rewards_N, torch.inf)
    high_N.scatter_reduce_(0, parts_N, rewards_N.nan_to_num(nan=-torch.inf), "amax")
    low_N.scatter_reduce_(0, parts_N, rewards_N.nan_to_num(nan=torch.inf), "amin")
    return (high_N > low_N)[parts_N]


def advantages_within(
    rewards_N: Float[Tensor, " N"], parts_N: Int[Tensor, " N"], *, scaled: bool, by_batch: bool = False
) -> Float[Tensor, " N"]:
    """Compute TRL's advantage, (r - mean) / (std + 1e-4) over scored rows, within parts instead of whole groups; 0
    where a part has fewer than two scored rows. `by_batch` divides by the std of all scored rows."""
    advantages_N = torch.zeros_like(rewards_N)
    scored_N = ~rewards_N.isnan()
    whole_std = rewards_N[scored_N].std() if by_batch and scored_N.sum() > 1 else torch.tensor(0.0)
    for part in parts_N.unique():
        rows = ((parts_N == part) & scored_N).nonzero()[:, 0]
        if len(rows) > 1:
            rewards = rewards_N[rows]
            std = whole_std if by_batch else rewards.std()
            advantages_N[rows] = (rewards - rewards.mean()) / (std + 1e-4 if scaled else 1.0)
    return advantages_N


@dataclass(frozen=True)
class MicroBatch:
    """Row indices (local to the rank) of one forward. A placeholder row keeps a rank in step and has weight 0; `spare`
    repeats of the first row do too, where every rank needs as many rows."""

    rows: list[int]
    placeholder: bool = False
    spare: int = 0

    @property
    def weightless(self) -> int:
        """Number of rows at the end that have no weight."""
        return self.spare + (len(self.rows) if self.placeholder else 0)


def micro_batches(shares: Sequence[list[int]], *, slots: int) -> list[MicroBatch | None]:
    """Put a rank's shares of live rows into its accumulation slots; None where no rank has anything to do.

    Every rank brings as many shares, an empty one where it has no row left: all run the same slots, or collectives
    would hang. The last slots are the ones in use, because distributed data parallel exchanges gradients in the last
    one.
    """
    used = [MicroBatch(share) if share else MicroBatch([0], placeholder=True) for share in shares]
    return [None] * (slots - len(used)) + used


@dataclass(frozen=True)
class Counts:
    """What a loss is a mean over, in a micro-batch or in the whole batch of all processes.

    rows: rows that count.
    tokens: their completion tokens.
    acting: those of the tokens that the entropy bonus acts on: all, or the most uncertain ones.
    """

    rows: int
    tokens: int
    acting: int


@dataclass(frozen=True)
class Scales:
    """For each term of a micro-batch's loss, the factor that makes the term its fair share of the whole batch's.

    policy: the policy's loss, and the KL term, which TRL adds to it token by token.
    entropy: the entropy bonus.
    router: the load-balancing loss of a mixture of experts. That loss is a product of two means over the tokens of a
        forward, and such products do not add up to that of the whole batch: as with TRL, the loss of several forwards
        is the mean of theirs, here by their rows.
    """

    policy: float
    entropy: float
    router: float


@contextlib.contextmanager
def multiplied(trainer: Any, **factors: float) -> Iterator[None]:
    """Multiply coefficients of TRL's loss, which are attributes of its trainer, for a while."""
    before = {name: getattr(trainer, name) for name in factors}
    for name, factor in factors.items():
        setattr(trainer, name, before[name] * factor)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(trainer, name, value)


def term_scales(loss_type: str, part: Counts, whole: Counts, *, slots: int, processes: int) -> Scales:
    """Return the factors of a micro-batch.

    TRL divides the policy's term by what the loss is a mean over, the entropy bonus always by the tokens of the
    micro-batch that the bonus acts on, the load-balancing loss by nothing; and all but token-sum losses by the
    accumulation slots, of which only those that are needed run.
    """
    return Scales(
        policy=loss_scale(
            loss_type, rows=part.rows, tokens=part.tokens, counted_rows=whole.rows, items=whole.tokens, slots=slots,
            processes=processes,
        ),
        entropy=_share(part.acting, whole.acting, slots * processes),
        router=_share(part.rows, whole.rows, slots * processes),
    )  # fmt: skip


def loss_scale(
    loss_type: str, *, rows: int, tokens: int, counted_rows: int, items: int, slots: int, processes: int
) -> float:
    """Return the factor that makes the policy's term of a micro-batch its fair share of the whole batch's.

    TRL divides token-sum losses by the batch's tokens, whatever the micro-batches: 1. The others are means over a
    micro-batch, averaged over accumulation slots and ranks; once rows are left out, a mean over fewer rows must
    count for less. Exactly 1 when nothing was left out and the rows split evenly.
    """
    if loss_type in TOKEN_SUM_LOSSES:
        return 1.0
    if loss_type in TOKEN_MEAN_LOSSES:
        return _share(tokens, items, slots * processes)
    return _share(rows, counted_rows, slots * processes)


def _share(part: int, whole: int, means: int) -> float:
    """Return the factor of one of `means` means that are averaged, so that they add up to the mean over the whole."""
    return part * means / max(whole, 1)
