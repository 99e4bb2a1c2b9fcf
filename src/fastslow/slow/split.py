"""Cut one scored batch into the micro-batches of an optimiser step: live rows only, each trimmed to its own lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from fastslow.core import processes
from fastslow.policy.token_trees import Row, tree_tokens
from fastslow.slow.batches import ROWS_GATHERED, Counts, MicroBatch, RowPlan, loss_mask, micro_batches, term_scales
from fastslow.slow.cuts import equal_shares, least_padded

EMPTY: dict[str, Any] = {"empty": True}
"""A micro-batch in which no process has a row."""


@dataclass(frozen=True)
class Splitter:
    """Split batches for one trainer.

    Attributes:
        loss_type: TRL's name of the loss.
        rows_per_forward: most rows of one forward (padded), or as many tokens as those would take (token trees).
        slots: forwards and backwards per optimiser step at most.
        as_trees: whether rows are trained on as token trees.
        evenly: whether padded rows are cut into forwards of as many rows each, as TRL does, where a term of the loss
            is a mean over the rows of a forward; else where padding is least.
    """

    loss_type: str
    rows_per_forward: int
    slots: int
    as_trees: bool
    evenly: bool = False

    def split(
        self, scored: Mapping[str, Any], rows: Sequence[Row], plan: RowPlan, *, first: int, scale: float
    ) -> list[dict[str, Any]]:
        """Return one dict per accumulation slot for TRL's loss. Every process has to call this method.

        Args:
            scored: TRL's batch of this process: tensors of one row per rollout, padded. `entropy_mask`, where it has
                one, marks the tokens that the policy's loss and the entropy bonus act on.
            rows: the same rows without padding.
            plan: what each row of all processes is good for.
            first: place of this process's first row among those of all processes.
            scale: factor on every advantage.
        """
        live = plan.live_N[first : first + len(rows)].nonzero()[:, 0].tolist()
        chunks = self._chunks(rows, live)
        if self.loss_type in ROWS_GATHERED:
            chunks = _of_equal_rows(chunks)
        acting = sum(processes.gather([int(scored["entropy_mask"].sum())])) if "entropy_mask" in scored else plan.items
        whole = Counts(rows=int(plan.counted_N.sum()), tokens=plan.items, acting=acting)
        parts = [self._micro_batch(scored, plan, chunk, first, scale, whole) if chunk else EMPTY for chunk in chunks]
        _count_tokens(parts)
        return parts

    def _chunks(self, rows: Sequence[Row], live: list[int]) -> list[MicroBatch | None]:
        """Spread the live rows over as few forwards as memory allows."""
        limit = self.rows_per_forward
        if self.as_trees:
            live.sort(key=lambda i: rows[i].ids)  # rows that share tokens are adjacent
            longest = max(len(row.ids) for row in rows)
            needed = -(-tree_tokens([rows[i] for i in live]) // (limit * longest))
        else:
            live.sort(key=lambda i: len(rows[i].ids))  # neighbours of similar length: little padding
            needed = -(-len(live) // limit)
        needed = max(processes.gather([needed]))
        if self.as_trees or self.evenly:
            return micro_batches(equal_shares(live, needed), slots=self.slots)
        remaining = iter(live)
        sizes = least_padded([len(rows[i].ids) for i in live], needed, limit)
        return micro_batches([list(islice(remaining, size)) for size in sizes], slots=self.slots)

    def _micro_batch(
        self, scored: Mapping[str, Any], plan: RowPlan, chunk: MicroBatch, first: int, scale: float, whole: Counts
    ) -> dict[str, Any]:
        rows = torch.tensor(chunk.rows + chunk.rows[:1] * chunk.spare)
        out = {
            name: value[rows] if isinstance(value, Tensor) and value.ndim else value for name, value in scored.items()
        }
        prompt = int(out["prompt_mask"].sum(1).max())
        answer = max(1, int(out["completion_mask"].sum(1).max()))
        for name, value in out.items():
            if isinstance(value, Tensor) and value.ndim == 2:
                out[name] = value[:, -prompt:] if name.startswith("prompt") else value[:, :answer]
        weight = scale * plan.weight_N[first + rows].to(out["advantages"].device)
        out["advantages"] = out["advantages"] * weight
        if chunk.weightless:
            # tool_mask is TRL's mask of the loss alone: attention is unchanged, every loss term of the row is dropped.
            out["tool_mask"] = out.get("tool_mask", torch.ones_like(out["completion_mask"])).clone()
            out["tool_mask"][-chunk.weightless :] = 0
            out["advantages"][-chunk.weightless :] = 0.0
        out["num_items_in_batch"] = torch.tensor(float(plan.items), device=out["advantages"].device)
        weighty = len(rows) - chunk.weightless
        tokens = int(loss_mask(out)[:weighty].sum())
        acting = int(out["entropy_mask"][:weighty].sum()) if "entropy_mask" in out else tokens
        # (a mean over the rows of a forward is one over the spare rows too)
        part = Counts(0 if chunk.placeholder else len(rows), tokens, acting)
        out["scales"] = term_scales(self.loss_type, part, whole, slots=self.slots, processes=processes.count())
        out["tokens"] = part.tokens
        return out


def _count_tokens(parts: Sequence[dict[str, Any]]) -> None:
    """Set the `tokens` of every micro-batch in use to those of all processes: numbers that TRL measures over all
    processes count by them."""
    used = [part for part in parts if not part.get("empty")]
    everywhere = processes.gather([[part["tokens"] for part in used]])
    for part, tokens in zip(used, zip(*everywhere, strict=True), strict=True):
        part["tokens"] = sum(tokens)


def _of_equal_rows(chunks: Sequence[MicroBatch | None]) -> list[MicroBatch | None]:
    """Add spare rows until every process has as many in each micro-batch."""
    sizes = [len(chunk.rows) if chunk else 0 for chunk in chunks]
    most = map(max, zip(*processes.gather([sizes]), strict=True))
    return [
        replace(chunk, spare=size - len(chunk.rows)) if chunk else None
        for chunk, size in zip(chunks, most, strict=True)
    ]
