"""Find the files that a run names from another folder, and after the run was moved together with them."""

from __future__ import annotations

import os

from fastslow.core.errors import BadInput


def absolute(path: str) -> str:
    """Return the absolute form of a file or folder that exists here; any other text as it is.

    Links are kept: they may be meant to move. Raises BadInput for the home of a user that does not exist.
    """
    there = os.path.expanduser(path)
    if path.startswith("~") and there == path and "/" in path:
        raise BadInput(f"'{path}' begins with the home directory of a user who has none here.")
    return os.path.abspath(there) if os.path.exists(there) else path


def relocated(path: str, *, was: str | None, now: str) -> str:
    """Return where a file is that a run in the folder `was` named by its absolute path, and that may have moved with
    the run to the folder `now`; the path as it is where it still exists, is relative, or is nowhere to be found."""
    moved = place_after_move(path, was=was, now=now)
    return moved if moved is not None and not os.path.exists(path) and os.path.exists(moved) else path


def place_after_move(path: str, *, was: str | None, now: str) -> str | None:
    """Return the place that has the same way from `now` as `path` has from `was`; None for no absolute path."""
    if was is None or not (os.path.isabs(path) and os.path.isabs(was)):
        return None
    return os.path.normpath(os.path.join(os.path.abspath(now), os.path.relpath(path, was)))
