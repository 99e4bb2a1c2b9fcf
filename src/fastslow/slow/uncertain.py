"""Find the tokens that the model is least sure of, before a batch is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from trl import GRPOTrainer

from fastslow.slow.batches import loss_mask


def uncertain_tokens(trainer: Any, scored: Mapping[str, Any], counted_n: Bool[Tensor, " n"]) -> Bool[Tensor, "n T"]:
    """Mark the tokens of most entropy among those of all counted rows of all processes: TRL's quantile, taken before
    rows are left out and cut into micro-batches. Every process has to call this function.

    Args:
        trainer: the `SlowTrainer`.
        scored: TRL's batch of this process.
        counted_n: which of its rows count.
    """
    mask = scored["completion_mask"]
    counts = loss_mask(scored)
    with torch.no_grad():
        _, entropies, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1),
            torch.cat([scored["prompt_mask"], mask], dim=1),
            mask.shape[1],
            batch_size=trainer.args.per_device_train_batch_size,
            compute_entropy=True,
        )
    counted = counts * counted_n[:, None].to(counts)
    return GRPOTrainer.get_high_entropy_mask(trainer, entropies, counted, 1 - trainer.top_entropy_quantile)
