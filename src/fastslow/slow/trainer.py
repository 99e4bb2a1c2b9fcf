"""The slow channel: TRL's GRPOTrainer on just the rows that can move the weights, each shared token computed once.

TRL keeps what is TRL's: advantages within a group, losses, optimiser, precision, distribution, LoRA, trackers. Three
of its methods are overridden here: `_get_per_token_logps_and_entropies` (token trees instead of padded rows),
`_compute_loss` (batches with nothing to learn, fair shares of uneven ones) and, for the rewards of all ranks,
`_calculate_rewards`. tests/contracts/test_contracts.py holds TRL to every behaviour relied on.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from trl import GRPOTrainer

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.policy.token_trees import Row, padded_cost, tree_tokens
from fastslow.policy.tree_forward import forward_packed, pack, why_not
from fastslow.slow.batches import (
    TOKEN_SUM_LOSSES,
    MicroBatch,
    RowPlan,
    advantages_within,
    loss_scale,
    micro_batches,
    plan_rows,
)

logger = logging.getLogger(__name__)

EMPTY: dict[str, Any] = {"empty": True}
"""A micro-batch in which no rank has a row."""


class SlowChannel(GRPOTrainer):
    """GRPOTrainer with routed groups: rows that cannot change the weights cost no forward and no backward."""

    # TRL leaves these open to what it supports besides; here they are known.
    args: FastSlowConfig
    accelerator: Any
    model: Any
    num_generations: int
    chat_template_kwargs: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.advantage_scale = 1.0
        self._rewards_N: Float[Tensor, " N"] = torch.empty(0)
        self.packing_problem = self._why_not_pack()

    @property
    def slots(self) -> int:
        """Forwards and backwards per optimiser step at most."""
        return int(self.args.steps_per_generation or 1)

    def _calculate_rewards(self, *args: Any) -> Tensor:
        rewards_per_func = super()._calculate_rewards(*args)
        self._rewards_N = rewards_per_func[:, 0]
        return rewards_per_func

    def _split(
        self,
        batch: dict[str, Any],
        rows: list[Row],
        *,
        lengths_N: Int[Tensor, " N"],
        slow_B: Bool[Tensor, " B"],
        parts_N: Int[Tensor, " N"] | None = None,
    ) -> list[dict[str, Any]]:
        """This rank's scored batch -> one dict per accumulation slot, live rows only, trimmed to their own lengths.

        `rows` are the batch's rows without padding; `lengths_N`, `slow_B` and `parts_N` cover all ranks. Where
        `parts_N` is given, advantages are taken within its parts (rows with equal numbers), not TRL's groups.
        """
        plan = plan_rows(
            rewards_N=self._rewards_N.cpu(),
            lengths_N=lengths_N.cpu(),
            slow_B=slow_B,
            per_problem=self.args.loss_aggregation == "problem" and self.args.loss_type in TOKEN_SUM_LOSSES,
            regularised=self.beta != 0.0 or self._entropy_bonus_enabled,
            parts_N=parts_N,
        )
        offset = self.accelerator.process_index * len(rows)
        if parts_N is not None:
            within_N = advantages_within(self._rewards_N.cpu(), parts_N, scaled=self.scale_rewards != "none")
            batch["advantages"] = within_N[offset : offset + len(rows)].to(batch["advantages"])
        live = plan.live_N[offset : offset + len(rows)].nonzero()[:, 0].tolist()
        self._metrics["train"]["fst/live_rows"].append(float(plan.live_N.float().mean()))
        return [self._micro_batch(batch, plan, chunk, offset) for chunk in self._chunks(rows, live)]

    def _chunks(self, rows: list[Row], live: list[int]) -> list[MicroBatch | None]:
        """Live rows in as few forwards as memory allows: per_device_train_batch_size padded rows, or as many tokens."""
        limit = self.args.per_device_train_batch_size
        if self.packing_problem is None:
            live.sort(key=lambda i: rows[i].ids)  # rows that share tokens lie together
            longest = max(len(row.ids) for row in rows)
            needed = -(-tree_tokens([rows[i] for i in live]) // (limit * longest))
        else:
            live.sort(key=lambda i: len(rows[i].ids))  # neighbours of like length: little padding
            needed = -(-len(live) // limit)
        needed = int(self.accelerator.gather(torch.tensor([needed], device=self.accelerator.device)).max())
        return micro_batches(live, needed=needed, slots=self.slots)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """TRL's padded rows, computed as the token trees they are."""
        if self.packing_problem is not None or kwargs.get("compute_aux_loss") or not int(attention_mask.sum()):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        rows = [
            Row(tuple(ids[mask.bool()].tolist()), int(mask[-logits_to_keep:].sum()))
            for ids, mask in zip(input_ids.cpu(), attention_mask.cpu(), strict=True)
        ]
        packed = pack(rows, width=logits_to_keep)
        if self.args.packing == "auto" and packed.cost > padded_cost(rows):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        with self.accelerator.autocast():
            logps, entropies = forward_packed(
                model,
                self.accelerator.unwrap_model(model),
                packed,
                temperature=self.temperature,
                entropy_grad=self._entropy_bonus_enabled,
            )
        return logps, entropies if kwargs.get("compute_entropy") else None, None

    def _micro_batch(
        self, batch: dict[str, Any], plan: RowPlan, chunk: MicroBatch | None, offset: int
    ) -> dict[str, Any]:
        if chunk is None:
            return EMPTY
        rows = torch.tensor(chunk.rows)
        out = {
            name: value[rows] if isinstance(value, Tensor) and value.ndim else value for name, value in batch.items()
        }
        prompt = int(out["prompt_mask"].sum(1).max())
        answer = max(1, int(out["completion_mask"].sum(1).max()))
        for name, value in out.items():
            if isinstance(value, Tensor) and value.ndim == 2:
                out[name] = value[:, -prompt:] if name.startswith("prompt") else value[:, :answer]
        weight = self.advantage_scale * plan.weight_N[offset + rows].to(out["advantages"].device)
        out["advantages"] = out["advantages"] * weight
        if chunk.placeholder:
            # tool_mask is TRL's mask of the loss alone: attention stays, every term of the row goes.
            out["tool_mask"] = torch.zeros_like(out["completion_mask"])
            out["advantages"] = torch.zeros_like(out["advantages"])
        out["num_items_in_batch"] = torch.tensor(float(plan.items), device=out["advantages"].device)
        out["loss_scale"] = loss_scale(
            self.args.loss_type,
            rows=0 if chunk.placeholder else len(chunk.rows),
            tokens=int(out["completion_mask"].sum()),
            counted_rows=int(plan.counted_N.sum()),
            items=plan.items,
            slots=self.slots,
            processes=self.accelerator.num_processes,
        )
        return out

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        if inputs.get("empty"):
            # No rank has a row here. A loss without a graph leaves every gradient None, and the optimiser skips
            # what has none: weights, momenta and step counts stay bit-identical.
            return torch.zeros((), device=self.accelerator.device, requires_grad=True)
        loss = super()._compute_loss(model, inputs) * inputs["loss_scale"]
        if self.beta:
            self.note_kl(self._metrics["train"]["kl"][-1])
        return loss

    def note_kl(self, kl: float) -> None:
        """Told the KL per token (nats) to the base over every micro-batch, all ranks together."""

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """transformers asks right before the optimiser steps, also where nothing is clipped."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise FastSlowError(
                f"the gradient of step {self.state.global_step + 1} is not finite; the weights before it are kept. A "
                "lower learning_rate or a smaller epsilon_high may help; config.yaml has the values in use."
            )
        return norm

    def _why_not_pack(self) -> str | None:
        """None if rollouts are trained on as trees; else the reason for TRL's padded rows, logged once."""
        if self.args.packing == "off":
            return "packing is off"
        base = self.accelerator.unwrap_model(self.model)
        problem = why_not(base.get_base_model() if self.args.lora_r else base)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            problem = "sharded weights are only whole inside the model's own forward"
        if problem and self.args.packing == "on":
            raise BadInput(f"packing=on, but {problem}; use packing=auto to fall back to padded rows.")
        if problem:
            logger.warning("training on padded rows: %s", problem)
        return problem
