"""Notice that another process of this run has ended, and say which: the others would wait for it.

gloo fails once a connection closes, with a line that names a port; NCCL may wait for ever. A launcher ends the others
as well, where it is on their machine and notices.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastslow.core import processes
from fastslow.core.errors import FastSlowError

GRACE_S = 15.0
"""Seconds that a process may go on after another one has ended: to fail by itself, or to come to its own end."""
LOOK_S = 1.0
"""Seconds between two looks at the others."""
FAILED_S = 3.0
"""Seconds in which a process that has closed its connections is looked for."""


class Peers:
    """The processes of this run. Every process has to make one."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._all = processes.gather([(self._host, os.getpid())])

    def gone(self) -> list[int]:
        """Return the numbers of the processes of this machine that have ended."""
        return [rank for rank, (host, pid) in enumerate(self._all) if host == self._host and not _runs(pid)]

    def in_words(self, ranks: list[int]) -> str:
        """Say which processes have ended."""
        named = ", ".join(f"{rank} (pid {self._all[rank][1]} on {self._all[rank][0]})" for rank in ranks)
        which, them = (f"process {named} has", "it") if len(ranks) == 1 else (f"processes {named} have", "them")
        return f"{which} ended, and the rest of {len(self._all)} cannot go on without {them}"


@contextmanager
def watched(advice: str) -> Iterator[None]:
    """End this process within a minute where another one of this machine ends inside of the block.

    Every process has to enter. A failed collective becomes a FastSlowError that names who ended, with `advice` behind;
    a process that waits for ever prints the same line and exits with 1.
    """
    if processes.count() == 1:
        yield
        return
    peers, over = Peers(), threading.Event()
    threading.Thread(target=_watch, args=(peers, over, advice), name="peers", daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        gone = _who_left(peers) if _is_failed_collective(error) else []
        if not gone:
            raise
        raise FastSlowError(f"{peers.in_words(gone)}. {advice}") from error
    finally:
        over.set()


def _watch(peers: Peers, over: threading.Event, advice: str) -> None:
    since: float | None = None
    while not over.wait(LOOK_S):
        gone = peers.gone()
        since = (since or time.monotonic()) if gone else None
        if since is not None and time.monotonic() - since > GRACE_S:
            print(f"fastslow: {peers.in_words(gone)}. {advice}", file=sys.stderr, flush=True)
            os._exit(1)


def _who_left(peers: Peers) -> list[int]:
    """Return who has ended, within a few seconds: connections close before the system forgets a process."""
    until = time.monotonic() + FAILED_S
    while not (gone := peers.gone()) and time.monotonic() < until:
        time.sleep(0.1)
    return gone


def _is_failed_collective(error: RuntimeError) -> bool:
    from torch.distributed import DistError  # torch takes seconds to import

    return isinstance(error, DistError) or any(word in str(error).lower() for word in ("gloo", "nccl", " peer"))


def _runs(pid: int) -> bool:
    """Return whether a process of this machine runs; one that nobody has waited for yet (a zombie) does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
