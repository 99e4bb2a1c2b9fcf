"""Compare a registry's folder with its log: whatever the log names is there as it was, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastslow.core.errors import BadInput, quoted
from fastslow.files import jsonl, locks
from fastslow.files.manifest import Damaged, is_signed
from fastslow.registry import versions
from fastslow.registry.log import ALIASES, LOG, Entry, Mirrored

VERDICTS = "verdicts"
VERDICT = re.compile(r"[0-9a-f]{16}\.json")
OURS = (LOG, ALIASES, locks.LOCK, VERDICTS, versions.FOLDER)


def verdict_file(sha256: str) -> str:
    """Return the name of the file that holds a verdict, within `VERDICTS`."""
    return f"{sha256[:16]}.json"


def problems(folder: Path, entries: Sequence[Entry], mirrored: Mirrored | None) -> list[str]:
    """Return what is wrong with a registry whose log is whole, in words.

    Temporary files that a kill leaves are none: the next command that writes removes or replaces them. `mirrored` may
    lie behind the log for the same reason, and is held to the line that it names.
    """
    try:
        return [*_aliases(entries, mirrored), *_versions(folder, entries), *_verdicts(folder, entries), *_rest(folder)]
    except OSError as error:
        raise BadInput(f"'{error.filename or folder}' cannot be read: {error.strerror or error}.") from error


def _aliases(entries: Sequence[Entry], mirrored: Mirrored | None) -> Iterator[str]:
    if mirrored is None:
        yield f"{ALIASES} is missing; the next command that writes makes it again"
    elif mirrored.line <= len(entries) and mirrored.aliases != entries[mirrored.line - 1].aliases:
        yield f"{ALIASES} says something else than line {mirrored.line} of the log; delete it"


def _versions(folder: Path, entries: Sequence[Entry]) -> Iterator[str]:
    known = {entry.about["version"]: entry.about["digest"] for entry in entries if entry.event == "add"}
    for version, digest in known.items():
        try:
            about = versions.verify(folder / versions.FOLDER / version)
        except Damaged as damage:
            yield quoted(damage, 500)
            continue
        if about.get("digest") != digest:
            yield f"{version} holds another bundle than the log says"
    for name in _names(folder / versions.FOLDER):
        if name not in known and not versions.is_temporary(name):
            yield (
                f"the log does not name {versions.FOLDER}/{quoted(name)}: add its bundle again if an add was killed, "
                "put the log's backup back if lines are lost, or remove it"
            )


def _verdicts(folder: Path, entries: Sequence[Entry]) -> Iterator[str]:
    known = {e.about["verdict"]: e.number for e in entries if "verdict" in e.about}
    for sha256, number in known.items():
        name = verdict_file(sha256)
        try:
            data = jsonl.loads((folder / VERDICTS / name).read_text(encoding="utf-8"))
            whole = isinstance(data, dict) and data.get("sha256") == sha256 and is_signed(data)
        except FileNotFoundError:
            yield f"{VERDICTS}/{name}, which line {number} of the log names, is missing"
            continue
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            yield f"{VERDICTS}/{name} does not hold the verdict that line {number} of the log names (SHA-256 differs)"
    files = {verdict_file(sha256) for sha256 in known}
    for name in _names(folder / VERDICTS):
        if name not in files and not (name.endswith(".tmp") and VERDICT.fullmatch(name.removesuffix(".tmp"))):
            yield f"the log does not name {VERDICTS}/{quoted(name)}; remove it"


def _rest(folder: Path) -> Iterator[str]:
    for name in _names(folder):
        if name not in OURS and name != f"{ALIASES}.tmp":
            yield f"{quoted(name)} does not belong to the registry; remove it"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
