"""What a model cannot be trained with: found out once the trainer has it, before the first step."""

from __future__ import annotations

from typing import Any

from torch import nn

from fastslow.core.errors import BadInput
from fastslow.policy.engines.rows import without_adapter_shell
from fastslow.policy.tree_forward import why_not
from fastslow.slow.batches import ROWS_GATHERED


def check_router_loss(trainer: Any) -> None:
    """Refuse a load-balancing loss where spare rows would count in it, as no mask of the loss takes one out."""
    loss = trainer.args.loss_type
    if trainer.aux_loss_enabled and trainer.accelerator.num_processes > 1 and loss in ROWS_GATHERED:
        raise BadInput(
            f"loss_type '{loss}' repeats rows on several processes, and the load-balancing loss of this mixture of "
            "experts would count them; take cispo, one process, or router_aux_loss_coef 0."
        )


def check_prefix_gradient(trainer: Any) -> None:
    """Refuse contexts as constants where the forward has no place for them."""
    if trainer.args.prefix_gradient == "full":
        return
    config = trainer.accelerator.unwrap_model(trainer.model).config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    problem = (
        f"rollouts are not trained on as token trees ({trainer.packing_problem})" if trainer.packing_problem
        else "gradient_checkpointing keeps no keys and values" if trainer.args.gradient_checkpointing
        else "weights are cut up among processes" if trainer.sharding.of_weights
        else "some of the model's layers have a window" if kinds - {"full_attention"}
        else ""
    )  # fmt: skip
    if problem:
        raise BadInput(f"prefix_gradient 'stop' takes contexts as constants, but {problem}; leave it at full.")


def why_not_pack(trainer: Any) -> str | None:
    """Return None if rollouts are trained on as trees; else the reason for padded rows."""
    if trainer.args.packing == "off":
        return "packing is off"
    base = trainer.accelerator.unwrap_model(trainer.model)
    problem = why_not(without_adapter_shell(base))
    if trainer.sharding.of_weights and type(base.get_output_embeddings()) is not nn.Linear:
        problem = problem or "its head is no plain layer, which weights that are cut up would need"
    if problem and trainer.args.packing == "on":
        raise BadInput(f"packing=on, but {problem}; use packing=auto to fall back to padded rows.")
    return problem
