"""Stream a task whose examples are themselves read from a stream, so that memory does not grow with the data set."""

from __future__ import annotations

from fastslow.core.types import Example
from fastslow.tasks.families.streamed import StreamedTask


class SourceStream:
    """Take each example from its place in the task's own stream, which shuffles within blocks.

    Args:
        task: reads the rows.
        batch_size: problems per step (B).
        seed: the run's seed; None: the rows in their order (`arrival`).
    """

    def __init__(self, task: StreamedTask, *, batch_size: int, seed: int | None):
        self._task = task
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, step: int) -> list[Example]:
        """Return the B examples of step `step`, counted from 0. Raises FastSlowError where the stream breaks off."""
        first = step * self._batch_size
        return [self._task.at(position, seed=self._seed) for position in range(first, first + self._batch_size)]
