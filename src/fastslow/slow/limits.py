"""What a model cannot be trained with: found out once the trainer has it, before the first step."""

from __future__ import annotations

from typing import Any

from torch import nn

from fastslow.core.errors import BadInput
from fastslow.policy.tree_forward import why_not


def check_router_loss(trainer: Any) -> None:
    """Refuse a load-balancing loss in parts: it is a product of two means over the tokens of one forward, and such
    products do not add up to that of the whole batch."""
    rows = trainer.slots * trainer.args.per_device_train_batch_size
    if trainer.aux_loss_enabled and (trainer.slots > 1 or trainer.accelerator.num_processes > 1):
        raise BadInput(
            "the load-balancing loss of this mixture of experts needs a whole step in one forward: set "
            f"per_device_train_batch_size to {rows * trainer.accelerator.num_processes} on one process, or "
            "router_aux_loss_coef to 0."
        )


def why_not_pack(trainer: Any) -> str | None:
    """Return None if rollouts are trained on as trees; else the reason for padded rows."""
    if trainer.args.packing == "off":
        return "packing is off"
    base = trainer.accelerator.unwrap_model(trainer.model)
    problem = why_not(base.get_base_model() if trainer.args.lora_r else base)
    if trainer.sharding.of_weights and type(base.get_output_embeddings()) is not nn.Linear:
        problem = problem or "its head is no plain layer, which weights that are cut up would need"
    if problem and trainer.args.packing == "on":
        raise BadInput(f"packing=on, but {problem}; use packing=auto to fall back to padded rows.")
    return problem
