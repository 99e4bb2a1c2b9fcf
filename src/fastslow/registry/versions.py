"""Copy bundles into a registry, where they are sealed and never written again."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from fastslow.bundles.digest import digest_of_files
from fastslow.bundles.released import NAME
from fastslow.core.errors import BadInput
from fastslow.files import atomic, manifest
from fastslow.files.manifest import Damaged

FORMAT = 1
FOLDER = "versions"
ASIDE, OLD = ".tmp", ".old"
"""Ends of the temporary names that `files.atomic` and `copy` give."""

logger = logging.getLogger(__name__)


def next_name(folder: Path, digest: str) -> str:
    """Return the name of a new version: a number above that of every version in `folder`, also of those that the log
    does not name, and the beginning of the bundle's digest."""
    last = max((int(match[1]) for match in map(NAME.fullmatch, _names(folder)) if match), default=0)
    return f"{last + 1:04d}-{digest[:12]}"


def left_whole(folder: Path, digest: str, known: Container[str]) -> str | None:
    """Return the version of this bundle that is whole and not in `known`: a killed `add` had copied it already, or the
    log's backup is older. None without one."""
    for name in _names(folder):
        match = NAME.fullmatch(name)
        if match is not None and digest.startswith(match[2]) and name not in known:
            with contextlib.suppress(Damaged):
                if verify(folder / name).get("digest") == digest:
                    return name
    return None


def copy(bundle: Path, target: Path, digest: str) -> None:
    """Copy a bundle's files into the new folder `target`, seal and protect them. `digest` goes into the manifest.

    Raises BadInput where the disk does not take the copy, and where the copy has another digest. Then nothing is left.
    """
    aside = target.with_name(target.name + ASIDE)
    try:
        discard(aside)
        aside.mkdir(parents=True)
        for name, path in manifest.files_of(bundle).items():
            if name != manifest.MANIFEST:  # of another registry's version
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, aside / name)
        sealed = manifest.seal(aside, {"format": FORMAT, "version": target.name, "digest": digest})
        if digest_of_files(sealed["files"]) != digest:
            raise BadInput(f"'{bundle}' changed while it was copied; add it again.")
        for path in manifest.files_of(aside).values():
            path.chmod(0o444)
        atomic.put_in_place(aside, target)
        target.chmod(0o555)
    except (OSError, BadInput) as error:
        for folder in (aside, target):  # a full disk needs the space
            take_back(folder)
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"cannot copy '{bundle}' to '{target}': {error.strerror or error}.") from error


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a version whose every byte is as it was added. Raises manifest.Damaged."""
    return manifest.verify(folder, format=FORMAT, older="an older fastslow: read it with that one", fits=_misnamed)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in the folder of versions: what has a temporary name of ours, and nothing else.

    A whole version that the log does not name may be of a newer log, whose backup was put back; and a folder with
    another name is not ours. `ModelRegistry.verify` names both.
    """
    for name in _names(folder):
        if is_temporary(name):
            take_back(folder / name)


def is_temporary(name: str) -> bool:
    """Return whether this is the name of a version that is being copied, or taken back."""
    return NAME.fullmatch(name.removesuffix(ASIDE).removesuffix(OLD)) is not None and name.endswith(ASIDE)


def take_back(folder: Path) -> None:
    """Remove a folder of ours that never became a version. What the disk keeps of it, the next sweep tries again."""
    try:
        if not folder.name.endswith(ASIDE) and folder.exists():
            folder.chmod(0o755)
            atomic.discard(folder)  # renamed first: what a kill leaves of it has a temporary name
        else:
            discard(folder)
    except OSError as error:
        logger.warning("note: '%s' could not be removed: %s", folder, error.strerror or error)


def discard(folder: Path) -> None:
    """Delete a folder, even one whose files are protected. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink():
        os.chmod(folder, 0o755)
    atomic.remove(folder)


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def _misnamed(folder: Path, about: Mapping[str, Any]) -> str:
    if about.get("version") != folder.name:
        return f"it was added as {about.get('version')}"
    match = NAME.fullmatch(folder.name)
    if match is None or not digest_of_files(about["files"]).startswith(match[2]):
        return "its files are not those that it is named after"
    return ""
