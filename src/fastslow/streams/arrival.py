"""Stream the lines of the user's own file in their order (`arrival`)."""

from __future__ import annotations

from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.tasks.base import Task

ARRIVAL = "arrival"


class ArrivalStream:
    """Stream training examples in the order of their lines, starting over after the last line.

    Raises BadInput for a task whose examples come from no file.
    """

    def __init__(self, task: Task, *, batch_size: int):
        examples = list(task.split("train"))
        if not all(isinstance(e.payload.get("line"), int) for e in examples):
            raise BadInput(
                f"stream 'arrival' reads the lines of a file in their order, and task '{task.name}' has none; "
                "give a jsonl: or hf: task."
            )
        self._examples = sorted(examples, key=lambda e: e.payload["line"])
        self._batch_size = batch_size

    def batch(self, step: int) -> list[Example]:
        """Return the B examples of step `step`, counted from 0."""
        first = step * self._batch_size
        return [self._examples[i % len(self._examples)] for i in range(first, first + self._batch_size)]
