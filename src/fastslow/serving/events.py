"""The events of a stream, whole ones only: however the bytes are cut, and whichever line ends they have.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastslow.serving.errors import failed

LONGEST_EVENT = 2**22
"""Bytes of one event. One that has no end would fill the memory."""

END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
"""A line end and an empty line. A LF that comes after the CR of its own line end begins the next event, harmlessly."""


class Events:
    """Cut the bytes of a stream into events: `feed` yields those that are whole now, `rest` is the beginning of the
    next one."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._looked_at = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield events as they came, with the empty line. Raises Refused for one that is too long."""
        self.rest += chunk
        while match := END.search(self.rest, self._looked_at):
            event = bytes(self.rest[: match.end()])
            del match, self.rest[: len(event)]  # a match holds on to the bytes that it looked at
            self._looked_at = 0
            yield event
        self._looked_at = max(0, len(self.rest) - 3)
        if len(self.rest) > LONGEST_EVENT:
            raise failed("the answer of the server behind has an event that is too long")


def data_of(event: bytes) -> bytes:
    """Return the data of an event: empty for a comment, and for what only has other fields."""
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines).strip()
