"""What a trainer's last step was made of, for tests that look inside."""

from __future__ import annotations

from typing import Any

from fastslow.core import processes
from fastslow.core.types import Rollout
from fastslow.slow.hooks import StepBatch


class LastBatch:
    """Keeps the batch of the step under way."""

    def __init__(self, trainer: Any) -> None:
        self.batch = StepBatch()
        real = trainer.cycle.next_step

        def next_step(step: int) -> StepBatch:
            self.batch = real(step)
            return self.batch

        trainer.cycle.next_step = next_step

    @property
    def rollouts(self) -> list[Rollout]:
        """The rollouts that this process trains on."""
        return list(self.batch.rollouts[processes.share_of(len(self.batch.rollouts))])


def grpo(trainer: Any) -> Any:
    """TRL's trainer behind one of ours."""
    return trainer.slow._trainer
