"""Rehearsal: a share of every batch is drawn from what came before."""

from __future__ import annotations

import random

from .seeding import derive_seed
from .stream import Stream
from .types import Example

TRIES = 8
"""Draws for one place before it is left to the newcomer: what was drawn may stand in the batch already."""


class RehearsalStream:
    """`stream` with a share of past examples in each batch, drawn evenly over all steps before.

    A batch is a function of its step and of `share`, which a retention watch may change in the course of a run.

    Args:
        stream: where new examples come from.
        share: of the places, in [0, 1); the batches' numbers are whole and their mean is the share.
        seed: the run's seed.
    """

    def __init__(self, stream: Stream, *, share: float, seed: int):
        self._stream = stream
        self.share = share
        self._seed = seed

    def batch(self, step: int) -> list[Example]:
        """The newcomers, the last of them replaced by examples of earlier steps."""
        fresh = self._stream.batch(step)
        size = len(fresh)
        places = int((step + 1) * size * self.share) - int(step * size * self.share)
        if not step or not places:
            return fresh
        rng = random.Random(derive_seed(self._seed, "rehearsal", step))
        batch = fresh[: size - places]
        for newcomer in fresh[size - places :]:
            taken = {e.id for e in batch}
            past = (self._stream.batch(rng.randrange(step)) for _ in range(TRIES))
            drawn = (rng.choice(examples) for examples in past)
            batch.append(next((e for e in drawn if e.id not in taken), newcomer))
        return batch
