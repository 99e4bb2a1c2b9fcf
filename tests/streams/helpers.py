"""Examples, and a stream that counts how often it is read."""

from __future__ import annotations

from collections.abc import Sequence

from fastslow.core.types import Example, Split
from fastslow.streams.epochs import Stream


def example(name: str, task: str = "toy", split: Split = "train", **payload: object) -> Example:
    return Example(name, task, split, ({"role": "user", "content": f"question {name}"},), payload)


def examples(count: int, task: str = "toy") -> list[Example]:
    return [example(f"{task}{i}", task) for i in range(count)]


class Counted:
    """A stream that counts the calls of `batch`."""

    def __init__(self, stream: Stream):
        self._stream = stream
        self.calls = 0

    def batch(self, step: int) -> list[Example]:
        self.calls += 1
        return self._stream.batch(step)


class Listed:
    """A stream of given batches."""

    def __init__(self, batches: Sequence[Sequence[Example]]):
        self._batches = batches

    def batch(self, step: int) -> list[Example]:
        return list(self._batches[step])
