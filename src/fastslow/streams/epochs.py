"""The order in which examples reach the model, known ahead so that a fast phase can look ahead."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example


class Stream(Protocol):
    """What arrives at each step, a function of the step alone: any position can be asked for at any time."""

    def batch(self, step: int) -> list[Example]: ...


class EpochStream:
    """Training examples in epochs, each shuffled by its own seed; every position is computable without the ones before.

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
        """The B examples of step `step`, counted from 0. A batch that spans two epochs may hold an example twice."""
        first = step * self._batch_size
        return [self.at(position) for position in range(first, first + self._batch_size)]

    def at(self, position: int) -> Example:
        """The example at this position, counted from 0 over all epochs."""
        epoch, offset = divmod(position, len(self._examples))
        if epoch not in self._epochs:
            order = list(range(len(self._examples)))
            random.Random(derive_seed(self._seed, "stream", epoch)).shuffle(order)
            self._epochs[epoch] = order
        return self._examples[self._epochs[epoch][offset]]


def lookahead(stream: Stream, step: int, steps: int) -> list[Example]:
    """Distinct examples of the `steps` batches from `step` on, in order of first arrival."""
    return list({e.id: e for s in range(step, step + steps) for e in stream.batch(s)}.values())
