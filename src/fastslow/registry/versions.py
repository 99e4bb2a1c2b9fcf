"""Copy bundles into a registry, where they are sealed and never written again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastslow.bundles.digest import digest_of_files
from fastslow.core.errors import BadInput
from fastslow.files import atomic, manifest

FORMAT = 1
FOLDER = "versions"
NAME = re.compile(r"([0-9]{4,9})-([0-9a-f]{12})")


def name_of(number: int, digest: str) -> str:
    """Return the name of a version: its number, and the beginning of the bundle's digest."""
    return f"{number:04d}-{digest[:12]}"


def copy(bundle: Path, target: Path, about: Mapping[str, Any]) -> None:
    """Copy a bundle's files into the new folder `target`, seal and protect them. `about` goes into the manifest.

    Raises BadInput where the disk does not take the copy.
    """
    aside = target.with_name(target.name + ".tmp")
    try:
        discard(aside)
        aside.mkdir(parents=True)
        for name, path in manifest.files_of(bundle).items():
            if name != manifest.MANIFEST:  # of another registry's version
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, aside / name)
        manifest.seal(aside, {"format": FORMAT, "version": target.name, **about})
        for path in manifest.files_of(aside).values():
            path.chmod(0o444)
        atomic.put_in_place(aside, target)
        target.chmod(0o555)
    except OSError as error:
        raise BadInput(f"cannot copy '{bundle}' to '{target}': {error.strerror or error}.") from error


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a version whose every byte is as it was added. Raises manifest.Damaged."""
    return manifest.verify(folder, format=FORMAT, older="an older fastslow: read it with that one", fits=_misnamed)


def sweep(folder: Path, known: Iterable[str]) -> None:
    """Remove what killed processes left in the folder of versions: whatever the log does not name."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name not in set(known):
            discard(entry)


def discard(folder: Path) -> None:
    """Delete a folder, even one whose files are protected. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink():
        os.chmod(folder, 0o755)
    atomic.remove(folder)


def _misnamed(folder: Path, about: Mapping[str, Any]) -> str:
    if about.get("version") != folder.name:
        return f"it was added as {about.get('version')}"
    match = NAME.fullmatch(folder.name)
    if match is None or not digest_of_files(about["files"]).startswith(match[2]):
        return "its files are not those that it is named after"
    return ""
