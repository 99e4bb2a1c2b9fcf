"""Name the bytes of a bundle by one digest, and tell a bundle that is damaged or whose files do not belong together."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.files import manifest
from fastslow.files.manifest import digest
from fastslow.files.plain import problem_with, read_plain

BUNDLE = "bundle.json"


def folder_of(path: str | Path) -> Path:
    """Return the bundle folder that `path` means: itself, or the `bundle` folder of a run directory.

    Raises BadInput where there is none.
    """
    folder = Path(path)
    # os.path takes any text for a name, where Path raises for one that is too long.
    folder = folder / "bundle" if os.path.isdir(folder / "bundle") else folder
    if not os.path.isfile(folder / BUNDLE):
        raise BadInput(f"'{quoted(path)}' holds no bundle (no {BUNDLE}); give a finished run or its bundle/ folder.")
    return folder


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle, by name.

    Raises BadInput for what cannot be read, and for links: what they lead to is not part of the bundle. So for files
    that memory may not hold.
    """
    try:
        for path in manifest.files_of(folder).values():
            if problem := problem_with(path):
                raise BadInput(f"'{path}' {problem}; no bundle holds such a file.")
        # The manifest of a registry's version is about the bundle, and not part of it.
        return {name: digest(path) for name, path in manifest.files_of(folder).items() if name != manifest.MANIFEST}
    except OSError as error:
        raise BadInput(f"'{error.filename or folder}' cannot be read: {error.strerror or error}.") from error


def bundle_digest(folder: Path) -> str:
    """Return one SHA-256 for all files of a bundle: equal for equal names and bytes, wherever the folder lies.

    Raises BadInput for what cannot be read, and for files that are not those that the run wrote.
    """
    return _joined(verified_files(folder))


def verified_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle, by name, where all that its run wrote is there as it was written.

    bundle.json is the manifest; a bundle of an older version, whose bundle.json names no files, is taken as it is
    (`has_manifest`), and so are files that somebody has added. Raises BadInput, which names the first difference.
    """
    about = _about(folder)
    try:
        for name, length in sorted((about.get("bytes") or {}).items()):
            if not os.path.isfile(folder / name):
                raise _damaged(folder, name, "is missing")
            if (found := os.path.getsize(folder / name)) != length:  # at once, where a hash takes its time
                raise _damaged(folder, name, f"has {found} bytes and was written with {length}")
        files = files_of(folder)
        for name, sha256 in sorted((about.get("files") or {}).items()):
            if files.get(name) != sha256:
                differs = (
                    "is not the file that the run wrote (SHA-256 differs): weights and contexts of different runs do "
                    "not belong together"
                )
                raise _damaged(folder, name, differs if name in files else "is missing")
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput(f"'{folder / BUNDLE}' is damaged ({type(error).__name__}).") from error
    return files


def has_manifest(folder: Path) -> bool:
    """Return whether a bundle says which files its run wrote. Raises BadInput for a bundle.json that is damaged."""
    return bool(_about(folder).get("files"))


def unfinished(folder: Path) -> str | None:
    """Return how the run of a bundle ended where it was not done, such as `stopped by SIGTERM at step 2 of 10`; None
    where it was, or where bundle.json does not say."""
    about = _about(folder)
    status, steps = about.get("status", "done"), about.get("steps")
    if status == "done":
        return None
    settings = about.get("settings")
    planned = settings.get("max_steps") if isinstance(settings, dict) else None
    of = f" of {planned}" if type(planned) is int else ""
    return f"{quoted(status, 60)}{f' at step {steps}{of}' if type(steps) is int else ''}"


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return what bundle.json is to say of the other files of a new bundle: the SHA-256 and the length of each."""
    files = {name: sha256 for name, sha256 in files_of(folder).items() if name != BUNDLE}
    return {"files": files, "bytes": {name: os.path.getsize(folder / name) for name in files}}


def _about(folder: Path) -> Mapping[str, Any]:
    try:
        about = json.loads(read_plain(folder / BUNDLE))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"'{folder / BUNDLE}' is damaged ({type(error).__name__}).") from error
    if not isinstance(about, dict):
        raise BadInput(f"'{folder / BUNDLE}' is damaged ({type(about).__name__}).")
    return about


def _damaged(folder: Path, name: str, problem: str) -> BadInput:
    return BadInput(f"'{folder / quoted(name)}' {problem}. The bundle is damaged; put the run's own file back.")


def digest_of_files(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same digest from the `files` of a manifest."""
    return _joined({name: of_file["sha256"] for name, of_file in files.items()})


def _joined(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
