"""LoRA by peft: a product of two thin matrices is added to each linear layer."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, PeftConfig
from transformers import PreTrainedModel

from fastslow.slow.adapters.base import AllWeights


class Lora(AllWeights):
    """Train a LoRA adapter; the base is the model with the adapter off."""

    holds_base = True
    ships_adapters = True

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        return lora_config(self.args)


def lora_config(args: Any, **more: Any) -> LoraConfig:
    """Return the configuration of one LoRA adapter of the run."""
    where: dict[str, Any] = {"target_modules": "all-linear", **more}
    return LoraConfig(r=args.lora_r, lora_alpha=args.lora_alpha, task_type="CAUSAL_LM", **where)
