"""SHiRA by peft: entries of each weight, chosen at random before the first step, are trained and the others not."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftConfig, ShiraConfig
from transformers import PreTrainedModel

from fastslow.core.seeding import derive_seed
from fastslow.policy.plain import plain_copy
from fastslow.slow.adapters.base import AllWeights


class Shira(AllWeights):
    """Train as many entries as LoRA of the same rank has parameters (arXiv 2406.13175, its random mask).

    peft keeps the mask outside of the model's state; the run's seed makes it again.
    """

    holds_base = True

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        torch.sparse.check_sparse_tensor_invariants.disable()  # torch's default, without its warning
        return ShiraConfig(
            r=self.args.lora_r,
            random_seed=derive_seed(self.args.seed, "shira"),
            target_modules="all-linear",  # peft's shorthand
            task_type="CAUSAL_LM",
        )

    def shipped(self, model: Any) -> PreTrainedModel:
        return plain_copy(model)
