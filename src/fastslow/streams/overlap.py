"""Schedule stages whose neighbours have examples in common (`overlap:SHARE`)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.streams.blocks import Blocks
from fastslow.streams.schedules import STREAMS, Setting


class Overlap(Blocks):
    """Schedule a sequence in which a fixed share of every task's examples also comes in the stages before and after."""

    def __init__(self, setting: Setting, share: float):
        super().__init__(setting, block_steps=setting.stage_steps, rounds=1)
        self._share = share

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        lent = [self._lent(number, examples) for number, examples in enumerate(tasks)]
        edge: list[list[Example]] = [[]]
        before, after = edge + lent[:-1], lent[1:] + edge
        return [[*b, *own, *a] for b, own, a in zip(before, tasks, after, strict=True)]

    def _lent(self, number: int, examples: Sequence[Example]) -> list[Example]:
        rng = random.Random(derive_seed(self._setting.seed, "overlap", number))
        chosen = set(rng.sample(range(len(examples)), round(self._share * len(examples))))
        return [example for i, example in enumerate(examples) if i in chosen]


@STREAMS.register("overlap")
def overlap(arguments: str, setting: Setting) -> Overlap:
    """Schedule overlapping stages; SHARE is the share of a task's examples, from 0 to 1 (default 0.3)."""
    try:
        share = float(arguments or "0.3")
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"give a share from 0 to 1, as in overlap:0.3, got '{arguments}'.")
    return Overlap(setting, share)
