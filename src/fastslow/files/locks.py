"""Let one process at a time write to a directory or a file.

The lock is the operating system's (flock): it ends with the process that holds it, whatever ends that process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.files.plain import read_plain

LOCK = ".lock"

GLANCE = 0.01
"""Seconds after which a lock that somebody only looked at is free again: looking takes it for microseconds."""


@contextlib.contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if it does not exist.

    Raises BadInput where another process holds the lock, naming that process, and where nothing can be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(folder / LOCK)
    except OSError as error:
        raise BadInput(f"cannot write to '{folder}': {error.strerror}.") from error
    if descriptor is None:
        raise BadInput(f"'{folder}' is being worked on by process {holder(folder)}; wait for it to end, or stop it.")
    try:
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str:
    """Return the process id in the lock file, with the name of the machine where it is another machine."""
    number, machine = _name(folder)
    if not machine:  # a full disk did not take the name
        return "unknown"
    return number if machine == socket.gethostname() else f"{number} on {machine}"


def is_worked_on(folder: Path) -> bool | None:
    """Return whether a process works in `folder` now; None where that cannot be seen from here. Changes nothing.

    The holder is always seen on its own machine. On a shared folder it is seen from another machine only where the
    file system carries locks (NFS does); where no lock is seen there, nobody knows.
    """
    try:
        held = _is_held(folder / LOCK)
    except OSError:
        return None
    return held or (False if _name(folder)[1] == socket.gethostname() else None)


def _name(folder: Path) -> tuple[str, str]:
    """Return process id and machine from the lock file; empty where it does not say."""
    try:
        number, _, machine = read_plain(folder / LOCK, most=4096).decode().strip().partition("@")
    except (OSError, ValueError):
        return "", ""
    return number, machine


def _is_held(path: Path) -> bool:
    """Return whether another process holds the lock of a file. Raises OSError where the file cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def refuse_held(folder: str | Path) -> None:
    """Raise BadInput, naming the holder, where another process works in `folder` now. Changes nothing."""
    with contextlib.suppress(OSError):
        if _is_held(Path(folder) / LOCK):
            raise BadInput(
                f"'{folder}' is being worked on by process {holder(Path(folder))}; wait for it to end, or stop it."
            )


def try_lock(descriptor: int) -> bool:
    """Lock an open file for as long as it stays open. Returns False where another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock, or None. The last holder may have deleted the file before this process
    got the lock; then the new file is locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not try_lock(descriptor):
            time.sleep(GLANCE)
            if not try_lock(descriptor):
                os.close(descriptor)
                return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                with contextlib.suppress(OSError):  # the lock holds without a name, which a full disk does not take
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}@{socket.gethostname()}".encode(), 0)
                return descriptor
        os.close(descriptor)
