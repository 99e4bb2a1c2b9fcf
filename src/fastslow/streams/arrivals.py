"""Remember which examples of a stream have arrived, so that no batch is read twice."""

from __future__ import annotations

from typing import Any

from fastslow.streams.epochs import Stream


class Arrivals:
    """Answer whether an example arrived before a step, reading each batch of `stream` once.

    Any step may be asked about, in any order: the first arrival of each example is remembered with its step. A stream
    with a `state_dict` (see `RehearsalStream`) is read again from the beginning where that state has changed, because
    the state decides what its batches hold.
    """

    def __init__(self, stream: Stream):
        self._stream = stream
        self._state: Any = None
        self._first_step: dict[str, int] = {}
        self._read = 0

    def before(self, step: int, example_id: str) -> bool:
        """Return whether the example stands in a batch before `step`."""
        self._read_until(step)
        return self._first_step.get(example_id, step) < step

    def _read_until(self, step: int) -> None:
        state_of = getattr(self._stream, "state_dict", None)
        state = state_of() if state_of is not None else None
        if state != self._state:
            self._state, self._first_step, self._read = state, {}, 0
        while self._read < step:
            for example in self._stream.batch(self._read):
                self._first_step.setdefault(example.id, self._read)
            self._read += 1
