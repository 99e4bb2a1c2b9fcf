"""Which stage of a stream a step belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastslow.streams import has_stages


@dataclass(frozen=True)
class Stages:
    """Hold how many stages a run of `total` steps has, and of how many steps each; the last one has what is left."""

    count: int
    steps: int
    total: int

    @classmethod
    def of(cls, args: Any) -> Stages:
        """Return the stages of a run: those of a stream with one for each task, else the whole run."""
        total = args.max_steps
        if not args.tasks or not has_stages(args.stream):
            return cls(1, total, total)
        return cls(max(1, total // args.stage_steps), args.stage_steps, total)

    def after(self, step: int) -> int:
        """Return the stage, from 0, that the step after `step` finished ones belongs to; the last one at the end."""
        return min(step // self.steps, self.count - 1)

    def end(self, step: int) -> bool:
        """Return whether a stage is over after `step` finished steps."""
        return step == self.total or (step % self.steps == 0 and 0 < step < self.count * self.steps)

    def passed(self, step: int) -> float:
        """Return which share of its stage is over after `step` finished steps: 0 where a stage has just begun."""
        stage = self.after(step)
        first = stage * self.steps
        last = self.total if stage == self.count - 1 else first + self.steps
        return (step - first) / (last - first)
