"""Follow a JSONL file that another process appends to, and cuts back where it resumes a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fastslow.files import jsonl
from fastslow.files.plain import open_plain

MOST = 4 * 2**20
"""Bytes that are read at once, from the end: thousands of lines of metrics. Whoever comes to a run of days does not
wait for its first day."""

MARK = 256
"""Bytes before the place that was read to by which it is known that the file was not cut back meanwhile."""


class Tail:
    """Read what is new in a file, line by line.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self.written: float | None = None
        """When the file was written to last, in seconds since the epoch; None: there is none."""
        self._end = 0
        self._mark = b""

    def news(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the whole lines since the last call, and whether the file was begun anew or cut back: then the lines
        are those of all of the file, and what was read before no longer counts.

        A last line without its end is left for the next call; damaged lines are left out. Raises OSError where the
        file cannot be read, and ValueError for anything but a plain file.
        """
        try:
            opened = open_plain(self.path)
        except FileNotFoundError:
            anew, self.written, self._end, self._mark = self._end > 0, None, 0, b""
            return [], anew
        with opened as file:
            state = os.fstat(file.fileno())
            self.written = state.st_mtime
            anew = not self._goes_on(file, state.st_size)
            start = 0 if anew else self._end
            if state.st_size - start > MOST:
                file.seek(state.st_size - MOST)
                file.readline(MOST)  # most likely the end of a line
            else:
                file.seek(start)
            rows = [row for _, row in jsonl.objects(self._whole_lines(file), on_damage=lambda damage: None, first=2)]
            self._end = file.tell()
            file.seek(max(0, self._end - MARK))
            self._mark = file.read(self._end - file.tell())
        return rows, anew

    def _goes_on(self, file: BinaryIO, size: int) -> bool:
        """Return whether the file still begins with what was read of it."""
        file.seek(max(0, self._end - len(self._mark)))
        return size >= self._end and file.read(len(self._mark)) == self._mark

    def _whole_lines(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield whole lines, and leave the file where the last one ends."""
        while line := file.readline(MOST):
            if not line.endswith(b"\n"):
                file.seek(-len(line), os.SEEK_CUR)
                return
            yield line
