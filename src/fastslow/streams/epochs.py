"""Stream examples in an order that is known ahead, so that a fast phase can look ahead."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example

EPOCHS = 8
"""Orders of epochs in memory: as many as a batch or a lookahead spans; others are made again."""


class Stream(Protocol):
    """Return the batch of any step, in any order of calls: a stream is a function of the step alone."""

    def batch(self, step: int) -> list[Example]: ...


class EpochStream:
    """Stream training examples in shuffled epochs. Each epoch has its own seed, so that any position can be computed
    alone.

    Args:
        examples: the training split, not empty.
        batch_size: problems per step (B).
        seed: the run's seed.
    """

    def __init__(self, examples: Sequence[Example], *, batch_size: int, seed: int):
        self._examples = list(examples)
        self._batch_size = batch_size
        self._seed = seed
        self._epochs: dict[int, list[int]] = {}

    def batch(self, step: int) -> list[Example]:
        """Return the B examples of step `step`, counted from 0. A batch that spans two epochs may hold an example
        twice."""
        first = step * self._batch_size
        return [self.at(position) for position in range(first, first + self._batch_size)]

    def at(self, position: int) -> Example:
        """Return the example at this position, counted from 0 over all epochs."""
        epoch, offset = divmod(position, len(self._examples))
        if epoch not in self._epochs:
            order = list(range(len(self._examples)))
            random.Random(derive_seed(self._seed, "stream", epoch)).shuffle(order)
            self._epochs[epoch] = order
            if len(self._epochs) > EPOCHS:  # a run of days would collect thousands
                del self._epochs[next(iter(self._epochs))]
        return self._examples[self._epochs[epoch][offset]]


def lookahead(stream: Stream, step: int, steps: int) -> list[Example]:
    """Return the distinct examples of the `steps` batches from `step` on, in order of first arrival."""
    return list({e.id: e for s in range(step, step + steps) for e in stream.batch(s)}.values())
