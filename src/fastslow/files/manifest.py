"""Seal a folder with a manifest, and verify that every byte in it is as written.

`manifest.json` holds the length and the SHA-256 of each file, and its own SHA-256. It is written last: a folder without
one was never finished. `sealed` seals checkpoints in this way, and `registry` the versions of a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastslow.core.errors import FastSlowError
from fastslow.files import atomic
from fastslow.files.jsonl import dumps
from fastslow.files.plain import read_plain

MANIFEST = "manifest.json"

RACY_NS = 3 * 10**9
"""How long before it is read a file must have changed last for its SHA-256 to be remembered: two changes within a tick
of the file system's clock look like one (as with git's index)."""

MOST_DIGESTS = 10_000

_digests: dict[tuple[int, ...], str] = {}
"""SHA-256 by state: a command that opens a bundle in several places reads gigabytes of weights once."""


class Damaged(FastSlowError):
    """Raised for a folder that must not be loaded; the message says why."""


def seal(folder: Path, about: Mapping[str, Any], written: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Sync every file, then write the manifest and return it. Raises OSError.

    `about` holds the `format`, and whatever else the manifest is to say. `written` has the length and SHA-256 of files
    that were hashed while written, and that the disk already holds.
    """
    files = {}
    for name, path in files_of(folder).items():
        if name not in written:
            atomic.sync(path)
        files[name] = written.get(name) or {"bytes": path.stat().st_size, "sha256": digest(path)}
    sealed = signed({**about, "files": files})
    with (folder / MANIFEST).open("xb") as file:
        file.write(dumps(sealed, indent=1))
        file.flush()
        atomic.sync(file.fileno())
    atomic.sync(folder)
    return sealed


def verify(
    folder: Path,
    *,
    format: int,
    older: str,
    fits: Callable[[Path, Mapping[str, Any]], str],
) -> dict[str, Any]:
    """Return the manifest of a folder whose every byte is as written.

    Args:
        folder: a folder that `seal` has sealed.
        format: the format that is read; `older` says who wrote an older one, and what to do about it.
        fits: returns what is wrong with a manifest in this folder; '' for nothing.

    Raises Damaged, which names the first difference.
    """
    try:
        return _verified(folder, format, older, fits)
    except OSError as error:
        where = Path(str(error.filename or folder)).name
        raise Damaged(f"{folder.name} cannot be read: {where}: {error.strerror or error}.") from error


def _verified(folder: Path, format: int, older: str, fits: Callable[[Path, Mapping[str, Any]], str]) -> dict[str, Any]:
    def refuse(problem: str) -> Damaged:
        return Damaged(f"{folder.name} is damaged: {problem}.")

    if folder.is_symlink() or not folder.is_dir():
        raise refuse("it is a link, not a folder" if folder.is_symlink() else "it is not a folder")
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise refuse(f"{path.relative_to(folder)} is not a plain file")
    if not (folder / MANIFEST).exists():
        raise refuse(f"it has no {MANIFEST}, so it was never finished or has lost it")
    manifest = _manifest(folder / MANIFEST, format, older, refuse)
    if problem := fits(folder, manifest):
        raise refuse(problem)
    files = manifest["files"]
    there = set(files_of(folder)) - {MANIFEST}
    if there != set(files):
        missing, added = sorted(set(files) - there), sorted(there - set(files))
        raise refuse(f"{missing[0]} is missing" if missing else f"{added[0]} does not belong to it")
    for name, expected in files.items():
        size = (folder / name).stat().st_size
        if size != expected["bytes"]:
            raise refuse(f"{name} has {size} bytes instead of {expected['bytes']}")
        if digest(folder / name) != expected["sha256"]:
            raise refuse(f"{name} does not hold what was written (SHA-256 differs)")
    return manifest


def _manifest(path: Path, format: int, older: str, refuse: Callable[[str], Damaged]) -> dict[str, Any]:
    try:
        content = read_plain(path)
        manifest = json.loads(content)
        version, files = manifest["format"], manifest["files"]
        whole = type(version) is int and all(
            type(entry["bytes"]) is int and isinstance(entry["sha256"], str) for entry in files.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refuse(f"{MANIFEST} is not a manifest") from None
    if type(version) is int and version != format:
        how = "a newer fastslow: upgrade to it" if version > format else older
        raise Damaged(
            f"{path.parent.name} has format {version}, this fastslow reads {format}; it was written by {how}."
        )
    if not whole:
        raise refuse(f"{MANIFEST} is not a manifest")
    try:
        honest = is_signed(manifest) and content == dumps(manifest, indent=1)
    except ValueError:
        honest = False
    if not honest:
        raise refuse(f"{MANIFEST} does not hold what was written (SHA-256 differs)")
    return manifest


def files_of(folder: Path) -> dict[str, Path]:
    """Return every file and link below a folder by its relative name, in order, and every folder that holds none."""
    paths = sorted(folder.rglob("*"))
    listed = (p for p in paths if p.is_symlink() or not p.is_dir() or not any(p.iterdir()))
    return {path.relative_to(folder).as_posix(): path for path in listed}


def signed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with its own SHA-256: whether it was changed since can be told, but not by whom it was made."""
    return {**data, "sha256": hashlib.sha256(dumps(data, indent=1)).hexdigest()}


def is_signed(data: Mapping[str, Any]) -> bool:
    """Return whether an object is as `signed` returned it. Raises ValueError for what JSON has no value for."""
    body = {key: value for key, value in data.items() if key != "sha256"}
    return data.get("sha256") == hashlib.sha256(dumps(body, indent=1)).hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file. A file that this process has read, and that is as it was, is not read again.

    Raises OSError.
    """
    with path.open("rb") as file:
        state = _state(file.fileno())
        if (known := _digests.get(state)) is not None:
            return known
        started, found = time.time_ns(), hashlib.file_digest(file, "sha256").hexdigest()
        if state == _state(file.fileno()) and state[-1] < started - RACY_NS:
            if len(_digests) >= MOST_DIGESTS:
                _digests.clear()
            _digests[state] = found
    return found


def _state(descriptor: int) -> tuple[int, ...]:
    """Return what changes with every change of a file, however small, and last when it changed (ns)."""
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
