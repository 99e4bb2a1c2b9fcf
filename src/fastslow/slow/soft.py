"""Train the rows of soft contexts by the loss of the weights, with an optimiser of their own.

The rows are leaves of the same graph: one backward reaches those that stand in the prompts of a step, and no other.
They have no weight decay, no schedule and no part in the norm to which gradients of weights are clipped (AdamW does not
depend on the size of a gradient).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fastslow.contexts.soft import SoftText
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.modes import MODES
from fastslow.policy.soft_rows import SoftRows, embedding_of
from fastslow.slow.batches import RowPlan
from fastslow.slow.hooks import StepBatch
from fastslow.slow.sharding import Sharding


class SoftLearner:
    """Move the rows that a step's prompts hold.

    Args:
        rows: of the model in training, which looks them up.
        rate: learning rate.
        alone: whether the weights are frozen, so that a row of a batch is worth a backward for its soft context only.
    """

    def __init__(self, rows: SoftRows, *, rate: float, alone: bool):
        self.rows, self.alone = rows, alone
        self._optimizer = torch.optim.AdamW(rows.slots, lr=rate, weight_decay=0.0)
        self._frozen: list[nn.Parameter] = []

    # Within a step

    def worth(self, plan: RowPlan, batch: StepBatch, lengths_N: Tensor) -> RowPlan:
        """Return the plan of a step without the rows that can move nothing: with frozen weights those under texts. They
        stay in every comparison and denominator."""
        if not self.alone:
            return plan
        live_N = plan.live_N & torch.tensor([self.rows.has_any(rollout.prompt_ids) for rollout in batch.rollouts])
        return replace(plan, live_N=live_N, live_tokens=int((lengths_N * live_N).sum()))

    def freeze(self, model: nn.Module) -> None:
        """Keep gradients from the weights until `learn`, where rows learn alone."""
        if self.alone and not self._frozen:
            self._frozen = [weight for weight in model.parameters() if weight.requires_grad]
            for weight in self._frozen:
                weight.requires_grad_(False)

    def learn(self) -> dict[str, float]:
        """Take a step by the gradients there are; return what to log. Raises FastSlowError for one that is not
        finite."""
        while self._frozen:
            self._frozen.pop().requires_grad_(True)
        gradients = [slot.grad for slot in self.rows.slots if slot.grad is not None]
        if not gradients:
            return {}
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        if not math.isfinite(norm):
            raise FastSlowError(
                "the gradient of the soft contexts is not finite; the rows before it are kept. A lower "
                "soft_learning_rate may help."
            )
        self._optimizer.step()  # it passes over slots without a gradient: their momenta move nothing
        self._optimizer.zero_grad(set_to_none=True)
        return {"fst/soft/grad_norm": norm, "fst/soft/slots_moved": float(len(gradients))}

    # Births

    def bear(self, model: Any, ids: Sequence[int], living: Collection[int]) -> SoftText:
        """Give a slot that none of the `living` births has to copies of what the embedding says of these ids; what the
        optimiser knew of the slot goes."""
        embedding = embedding_of(model)
        with torch.no_grad():
            vectors = embedding(torch.tensor(list(ids), device=embedding.weight.device)).float()
        slot, soft = self.rows.bear(vectors, living)
        self._optimizer.state.pop(self.rows.slots[slot], None)
        return soft

    # A part of a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """Return rows, births and optimiser."""
        rows = self.rows
        return {
            "births": rows.births,
            "held": [[held.birth, held.tokens] if held is not None else None for held in rows.held],
            "slots": [slot.detach() for slot in rows.slots],
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        rows = self.rows
        rows.births = int(state["births"])
        rows.held = [SoftText(int(held[0]), int(held[1])) if held is not None else None for held in state["held"]]
        with torch.no_grad():
            for slot, saved in zip(rows.slots, state["slots"], strict=True):
                slot.copy_(saved)
        self._optimizer.load_state_dict(dict(state["optimizer"]))


def soft_of(trainer: Any, rows: SoftRows | None) -> SoftLearner | None:
    """Return what trains the rows beside a trainer's model, and have its reference look them up; None without rows.
    Raises BadInput where weights or optimiser are cut up."""
    if rows is None:
        return None
    if trainer.sharding is not Sharding.NONE:
        raise BadInput(f"soft contexts are trained on whole copies, not with {trainer.sharding.value}; drop either.")
    if trainer.ref_model is not None:
        rows.attach(trainer.accelerator.unwrap_model(trainer.ref_model))
    return SoftLearner(rows, rate=trainer.args.soft_learning_rate, alone=not MODES[trainer.args.mode].slow)
