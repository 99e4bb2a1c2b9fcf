"""CorDA by peft, in its knowledge-preserving mode: LoRA that starts from what given text uses least."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from transformers import PreTrainedModel

from fastslow.core.errors import BadInput
from fastslow.costs.shape import adapted_layers
from fastslow.policy.engines.rows import without_cache
from fastslow.policy.plain import plain_copy
from fastslow.slow.adapters.lora import Lora, lora_config


class Corda(Lora):
    """Start the adapter from the directions of each weight that the calibration text uses least (arXiv 2406.05223).

    The adapter is not 0 at the start: the base's weights are what is left without it, so that the base for the KL is a
    copy from before, and whole weights ship.
    """

    holds_base = False
    edits_base = True
    ships_adapters = False

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        rows = self.calibration() if self.calibration is not None else []
        if not rows:
            raise BadInput(
                "adapter 'corda' looks at training questions with right answers before it starts, and no answer of "
                "this run's data gets full reward; take another adapter, or data with answers."
            )
        config = lora_config(
            self.args,
            target_modules=[name for name, _ in adapted_layers(model)],  # peft looks for these before it knows others
            init_lora_weights="corda",
            corda_config=CordaConfig(corda_method="kpm"),
        )

        @torch.no_grad()
        def look() -> None:
            for ids in rows:
                model(input_ids=torch.tensor([list(ids)], device=model.device), **without_cache(model))

        was_training = model.training
        try:
            preprocess_corda(model, config, run_model=look)
        finally:
            model.train(was_training)
        return config

    def attach(self, model: Any) -> None:
        for module in model.modules():  # peft leaves its decomposition, of no further use
            module.__dict__.pop("eigens", None)

    def saves(self, name: str) -> bool:
        return ".base_layer." in name

    def shipped(self, model: Any) -> PreTrainedModel:
        return plain_copy(model)
