"""Replace files and folders as a whole: after a kill or a power cut a reader sees the old content or the new content.

Content is written beside its place (`NAME.tmp`), synced to the disk, and only then renamed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Replace the file at `path`, or make it with its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.write_bytes(content)
        sync(aside)
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):  # a full disk needs the space, and nobody looks for the rest
            aside.unlink()
        raise


def put_in_place(aside: Path, path: Path) -> None:
    """Rename the folder `aside`, whose files are synced, to `path`. Raises OSError.

    Whatever stands at `path` is renamed first and deleted last: at no time does `path` name an incomplete folder.
    """
    before = _old_name(path)
    remove(before)
    if path.exists() or path.is_symlink():
        path.rename(before)
    aside.rename(path)
    sync(path.parent)
    with contextlib.suppress(OSError):  # the new folder is complete: what is left of the old one does no harm
        remove(before)


def discard(path: Path) -> None:
    """Delete a folder. It is renamed first: a process killed half way leaves no incomplete folder of that name."""
    aside = _old_name(path)
    remove(aside)
    path.rename(aside)
    remove(aside)


def remove(path: Path) -> None:
    """Delete a folder, a file or a link, if there is one. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def sync(place: Path | int) -> None:
    """Wait until the disk holds a file's content or a folder's entries. An open file is given by its descriptor."""
    if isinstance(place, int):
        return os.fsync(place)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _old_name(path: Path) -> Path:
    return path.with_name(path.name + ".old.tmp")
