"""OSF by peft: the largest singular directions of each weight are frozen, and updates stay orthogonal to them."""

from __future__ import annotations

import re
from typing import Any

import torch
from peft import OSFConfig, PeftConfig
from peft.tuners.osf import OSFLayer
from transformers import PreTrainedModel

from fastslow.core.errors import BadInput
from fastslow.costs.shape import adapted_layers
from fastslow.policy.plain import plain_copy
from fastslow.slow.adapters.base import AllWeights


class Osf(AllWeights):
    """Train the `lora_r` smallest singular directions of each weight (arXiv 2504.07097), about as many parameters as
    LoRA of that rank has. peft's own default, which is the paper's, trains half of them.

    peft projects gradients only. AdamW rescales these entry by entry, so that a third to a half of each update would
    lie in the frozen directions; the authors' own trainer projects updates since (mini_trainer, issue 90). So do we.
    """

    holds_base = True

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        rank, kept = self.args.lora_r, {name: min(layer.weight.shape) for name, layer in adapted_layers(model)}
        narrow = next((name for name, size in kept.items() if size <= rank), None)
        if narrow is not None:
            raise BadInput(
                f"adapter 'osf' freezes the largest of the {kept[narrow]} singular directions of '{narrow}', and "
                f"lora_r {rank} would train them all; take a smaller lora_r, or 0."
            )
        return OSFConfig(
            rank_pattern={f"^{re.escape(name)}$": size - rank for name, size in kept.items()},
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )

    @torch.no_grad()
    def step_ended(self, trainer: Any, step: int) -> None:
        for layer in trainer.accelerator.unwrap_model(trainer.model).modules():
            if isinstance(layer, OSFLayer):
                for name, trained in layer.osf_svd_params.items():
                    _project(layer, name, trained)

    def shipped(self, model: Any) -> PreTrainedModel:
        return plain_copy(model)


def _project(layer: Any, name: str, trained: Any) -> None:
    """Take out of the trained directions what lies in the frozen ones. Where these fill the rest of the space, peft
    keeps the initial trained directions in their place."""
    columns, rows = trained["U_low"], trained["V_low"]
    if name in layer._osf_U_high:
        frozen = layer._osf_U_high[name]
        columns.sub_(frozen @ (frozen.T @ columns))
    else:
        first = layer._osf_U_low_init[name]
        columns.copy_(first @ (first.T @ columns))
    if name in layer._osf_V_high:
        frozen = layer._osf_V_high[name]
        rows.sub_((rows @ frozen.T) @ frozen)
    else:
        first = layer._osf_V_low_init[name]
        rows.copy_((rows @ first.T) @ first)
