"""One writer per directory. The lock is the operating system's (flock): it goes with its holder, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fastslow.core.errors import BadInput

LOCK = ".lock"


@contextlib.contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if need be.

    Raises BadInput naming the holder where another process has it, and where nothing can be written.
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
    """Who wrote itself down last: a process id, with its machine where that is another one."""
    try:
        number, _, machine = (folder / LOCK).read_text(encoding="utf-8").strip().partition("@")
    except (OSError, UnicodeDecodeError):
        return "unknown"
    return (number if machine == socket.gethostname() else f"{number} on {machine}") or "unknown"


def refuse_held(folder: str | Path) -> None:
    """Raises BadInput naming the holder if somebody works in `folder` right now. Changes nothing."""
    path = Path(folder) / LOCK
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"'{folder}' is being worked on by process {holder(Path(folder))}; wait for it to end, or stop it."
            ) from None


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None. Where a holder has deleted its file meanwhile, the new one counts."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}@{socket.gethostname()}".encode(), 0)
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)
