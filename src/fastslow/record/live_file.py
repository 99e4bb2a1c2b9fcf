"""Leave a note of what a run does now, for whoever watches it from elsewhere: the lines say only what is done.

The run does not depend on it: it is not synced to the disk, its failures are passed over, and it goes with the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastslow.files.plain import read_plain
from fastslow.report.reading.values import count, mapping, number, text

FILE = "live.json"

LENGTH = 128
"""Bytes of the file: it is always written over as a whole, in one call, so that nobody reads half of it."""


class LiveFile:
    """Write live.json into a run directory."""

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._said: dict[str, Any] = {}
        self._stopping = False

    def write(self, phase: str) -> None:
        """Say that a phase begins now."""
        self._said = {"phase": phase, "since": round(time.time(), 3), "process": os.getpid()}
        self._write(self._said)

    def stopping(self) -> None:
        """Say, with whatever else is said from now on, that the run is told to stop."""
        self._stopping = True
        self._write(self._said)

    def count(self, made: int, budget: int) -> None:
        """Say how many rollouts the phase has made, of the most that it may."""
        self._write({**self._said, "rollouts": made, "budget": budget})

    def _write(self, note: Mapping[str, Any]) -> None:
        said = json.dumps({**note, "stopping": True} if self._stopping else note)
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                os.pwrite(descriptor, (said.ljust(LENGTH - 1) + "\n").encode(), 0)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Say that nothing goes on any more."""
        with contextlib.suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True)
class Live:
    """What a process said last: the phase, when it began (seconds since the epoch), and the number of the process;
    empty or None where the file does not say. `made`: the rollouts of the phase so far, and the most that it makes.
    `stopping`: the run is told to stop."""

    phase: str = ""
    since: float | None = None
    process: str = ""
    made: tuple[int, int] | None = None
    stopping: bool = False


def read_live(folder: Path) -> Live:
    """Read live.json of a run directory."""
    try:
        said = mapping(json.loads(read_plain(folder / FILE, most=LENGTH)))
    except (OSError, ValueError, RecursionError):
        return Live()
    made, budget = count(said.get("rollouts")), count(said.get("budget"))
    counted = None if made is None or budget is None else (made, budget)
    return Live(
        text(said.get("phase"), ""),
        number(said.get("since")),
        text(said.get("process"), ""),
        counted,
        said.get("stopping") is True,
    )
