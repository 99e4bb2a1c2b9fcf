"""Folders for a while: removed at the end, or by the next process that makes one, where this one is killed before."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastslow.files.locks import LOCK, try_lock


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Yield a new folder in the folder for temporary files, and remove it at the end.

    Folders of this prefix that a killed process left are removed first. A living process holds the lock in its folder,
    which the operating system lets go of with the process: unlike a process id, no other process can come to have it.
    """
    _sweep(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new = folder / f"{LOCK}-new"
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError):  # some network file systems have no locks: never swept there
                if try_lock(descriptor):
                    new.rename(folder / LOCK)  # by that name it is locked from its first moment
            yield folder
        finally:
            os.close(descriptor)


def _sweep(prefix: str) -> None:
    """Remove folders of this user that no living process holds. A folder without a lock is left: it may be just being
    made, or somebody else's."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        left = [Path(entry.path) for entry in found if entry.name.startswith(prefix) and _is_own(entry)]
        for folder in left:
            with contextlib.suppress(OSError):
                descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    if try_lock(descriptor):
                        shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(descriptor)


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a folder of this user, and no link to one."""
    try:
        about = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
