"""Say how good each row of a step is, where TRL's own advantages are not what the step asks for."""

from __future__ import annotations

from typing import Any

import torch

from fastslow.slow.batches import advantages_within
from fastslow.slow.hooks import StepBatch


def judge_rows(trainer: Any, batch: StepBatch, scored: dict[str, Any], place: slice) -> None:
    """Set the advantages of this process's rows in TRL's batch `scored`. Every process has to call this function.

    Where single tokens are judged, `advantages` is 1: a factor on what the critic finds in the forward of a micro-batch
    (from `rewards`), or on the KL to the teacher, whose prompts `teacher` counts.

    Args:
        trainer: the SlowTrainer.
        batch: the step.
        scored: TRL's batch of this process.
        place: of its rows among those of the step.
    """
    ours = scored["advantages"]
    rewards_N = batch.rewards_N * trainer.reward_weights.item()
    if trainer.critic is not None:
        scored["rewards"] = rewards_N.nan_to_num(nan=0.0)[place].to(ours)
        scored["advantages"] = torch.ones_like(ours)
    elif batch.teacher_prompts_N is not None:
        scored["teacher"] = torch.arange(len(ours))
        scored["advantages"] = torch.ones_like(ours)
    elif batch.imitated_N is not None:
        scored["advantages"] = torch.ones_like(ours)
    elif batch.parts_N is not None:
        within_N = advantages_within(
            rewards_N,
            torch.tensor(batch.parts_N),
            scaled=trainer.scale_rewards != "none",
            by_batch=trainer.scale_rewards == "batch",
        )
        scored["advantages"] = within_N[place].to(ours)
