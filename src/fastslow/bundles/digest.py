"""Name the bytes of a bundle by one digest, and tell a bundle whose files do not belong together."""

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

    Raises BadInput for what cannot be read, and for files that are not those that the run wrote (`foreign_file`).
    """
    files = files_of(folder)
    strange = foreign_file(folder, files)
    if strange is not None:
        raise BadInput(
            f"'{folder / strange}' is not the file that the run of this bundle wrote (SHA-256 differs): weights and "
            "contexts of different runs do not belong together. Put the run's own file back."
        )
    return _joined(files)


def digest_of_files(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same digest from the `files` of a manifest."""
    return _joined({name: of_file["sha256"] for name, of_file in files.items()})


def foreign_file(folder: Path, files: Mapping[str, str]) -> str | None:
    """Return the first file that differs from what bundle.json says the run wrote; None where all agree, and for
    bundles of older versions, which do not say."""
    try:
        written = json.loads(read_plain(folder / BUNDLE)).get("files") or {}
        return next((name for name in sorted(written) if files.get(name) != written[name]), None)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadInput(f"'{folder / BUNDLE}' is damaged ({type(error).__name__}).") from error


def _joined(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
