"""Which processes of a sandbox are there. Stands alone: `runner.py` takes it along."""

from __future__ import annotations

import os
from pathlib import Path


def sandboxes_of(parent: int) -> list[int]:
    """Supervisors and workers that `parent` started; its id is part of their command line."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"inside.supervisor" in part for part in command) and str(parent).encode() in command:
            found.append(int(process))
    return found
