"""Read files that may come from anybody: plain ones alone, and no more of them than memory holds.

A link may lead anywhere, a device or a pipe has no end, and a file of zeros takes no room on the disk.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST = 512 * 2**20
"""Bytes of a file that is parsed as a whole: a hundred times what runs write, and less than a machine's memory."""

PARSED = (".json", ".jinja", ".txt")
"""Endings of files that we or a library parse as a whole."""


def read_plain(path: Path, most: int = MOST) -> bytes:
    """Return the content of a plain file. Raises OSError, and ValueError for anything else and for more than `most`
    bytes."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{path.name} has {size} bytes, and at most {most} are read")
        return file.read(most)


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading. Raises OSError, and ValueError for anything else."""
    # O_NONBLOCK: to open a pipe waits for somebody who writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if path.is_symlink() or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is not a plain file")
    return open(descriptor, "rb")


def problem_with(path: Path) -> str | None:
    """Return why a file of a folder that is about to be loaded must not be read; None where it may."""
    if path.is_symlink() or not path.is_file():
        return "is not a plain file"
    if path.suffix in PARSED and path.stat().st_size > MOST:
        return f"has more than the {MOST} bytes that are read"
    return None
