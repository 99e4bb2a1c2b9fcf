"""Draw a share of every batch from earlier steps (rehearsal)."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence

from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.streams.epochs import Stream

TRIES = 8
"""Draws for one place: a drawn example may already stand in the batch. After that the place keeps its newcomer."""


class RehearsalStream:
    """Add a share of past examples to each batch of `stream`, drawn uniformly from all newcomers of the steps before.

    A batch is a function of its step and of the shares up to that step, which a retention watch may change during a
    run. Only newcomers that were shown can be drawn: an example whose place went to rehearsal was never shown at that
    step. A newcomer that kept its place because no other example could be drawn is not drawn later either.

    Args:
        stream: supplies the newcomers, the same number at each step.
        share: rehearsed share of the places, in [0, 1). The number in each batch is whole; its mean is the share.
        seed: the run's seed.
    """

    def __init__(self, stream: Stream, *, share: float, seed: int):
        self._stream = stream
        self._shares = [(1, share)]  # (first step, share), in order; before step 1 there is nothing to rehearse
        self._seed = seed

    def share_at(self, step: int) -> float:
        return next((share for first, share in reversed(self._shares) if first <= step), self._shares[0][1])

    def change(self, share: float, *, step: int) -> None:
        """Set the share from `step` on, which must lie ahead; earlier batches stay as they are."""
        if share != self._shares[-1][1]:
            first = max(1, step)
            self._shares = [*(past for past in self._shares if past[0] < first), (first, share)]

    def batch(self, step: int) -> list[Example]:
        """Return the batch of a step: its newcomers, the last of them replaced by examples of earlier steps."""
        fresh = self._stream.batch(step)
        size = len(fresh)
        new = self._newcomers(step + 1, size) - self._newcomers(step, size)
        rng = random.Random(derive_seed(self._seed, "rehearsal", step))
        batch = fresh[:new]
        for newcomer in fresh[new:]:
            taken = {e.id for e in batch}
            drawn = (self._past(rng, step, size) for _ in range(TRIES))
            batch.append(next((e for e in drawn if e.id not in taken), newcomer))
        return batch

    def _newcomers(self, step: int, size: int) -> int:
        """Return the number of newcomers before `step`, in batches of `size`."""
        rehearsed, ends = 0, [first for first, _ in self._shares[1:]]
        for (first, share), end in zip(self._shares, [*ends, step], strict=True):
            last = max(first, min(end, step))
            rehearsed += int(last * size * share) - int(first * size * share)
        return step * size - rehearsed

    def _past(self, rng: random.Random, step: int, size: int) -> Example:
        """Draw one of the newcomers before `step`; newcomers stand in the first places of a batch."""
        number = rng.randrange(self._newcomers(step, size))
        came = bisect_right(range(step), number, key=lambda s: self._newcomers(s, size)) - 1
        return self._stream.batch(came)[number - self._newcomers(came, size)]

    def state_dict(self) -> list[list[float]]:
        return [list(pair) for pair in self._shares]

    def load_state_dict(self, state: Sequence[Sequence[float]]) -> None:
        self._shares = [(int(first), float(share)) for first, share in state]
