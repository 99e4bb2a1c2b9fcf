"""Keep the log of a registry: lines that are only ever appended, each with the hash of the line before.

Each line also holds the aliases as they are after it, so that the last line is the state of the registry: a promotion
has happened once its line is whole on the disk, and a line torn by a kill has not happened. `aliases.json` repeats that
state for programs that read one small file; it is replaced after the line is written, and repaired by the next writer.
So readers read it before the log: of what happens in between they see lines too many, and never one too few.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastslow.bundles.released import NAME
from fastslow.core.errors import BadInput, quoted
from fastslow.files import atomic, jsonl
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import is_signed, signed
from fastslow.files.typed import read_as
from fastslow.gate.floor import Floor

LOG = "log.jsonl"
ALIASES = "aliases.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One line of the log. `aliases` are those after it; `about` is what the event says of itself. `by` is a name that
    an environment variable may set; `uid` is the system's (-1 in lines of an older version)."""

    number: int
    time: str
    by: str
    event: str
    aliases: Mapping[str, str]
    about: Mapping[str, Any]
    sha256: str
    host: str = ""
    uid: int = -1


@dataclass(frozen=True)
class Mirrored:
    """What `aliases.json` holds: the aliases, and the line of the log that they come from."""

    aliases: Mapping[str, str]
    line: int
    sha256: str


ABOUT: Mapping[str, Any] = {
    **dict.fromkeys(
        ("version", "digest", "from", "note", "reason", "verdict", "policy", "state", "candidate", "asked"), str
    ),
    "questions": tuple[str, ...],
    "floor": Floor,
}
"""Types of what events say of themselves; what is not named here is shown only."""
SAYS: Mapping[str, tuple[str, ...]] = {
    "add": ("version", "digest", "from"), "candidate": ("version",), "promote": ("version",), "force": ("version",),
    "rollback": ("version",), "refuse": ("reason",), "gate": ("candidate", "questions", "verdict"),
}  # fmt: skip
"""What an event has to say of itself, as others rely on it. A refusal names a version, or what was asked for."""


class Log:
    """The log of the registry in `folder`. Only the holder of the registry's lock may append."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / LOG

    def entries(self) -> list[Entry]:
        """Return every whole line, in order; a torn last one did not happen.

        Raises BadInput for a line that was changed, and for lines that are missing.
        """
        seen = self.mirrored()
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise BadInput(f"the log '{self._path}' cannot be read: {error.strerror or error}.") from error
        entries: list[Entry] = []
        added: set[str] = set()
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            entries.append(self._entry(line, entries, added))
        if seen is not None and (len(entries) < seen.line or entries[seen.line - 1].sha256 != seen.sha256):
            raise BadInput(
                f"the log '{self._path}' lacks lines that '{ALIASES}' has seen (line {seen.line}); put its backup back."
            )
        return entries

    def append(self, event: str, aliases: Mapping[str, str], about: Mapping[str, Any]) -> Entry:
        """Write one line, wait for the disk, and renew `aliases.json`.

        Raises BadInput as `entries`, and OSError where the disk does not take the line: then it did not happen. Once
        the line is whole nothing is raised any more.
        """
        entries = self.entries()
        with self._path.open("rb+") as file:
            jsonl.cut_torn_line(file)
            whole = file.seek(0, os.SEEK_END)
        line = signed(
            {
                "number": len(entries) + 1,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "by": _user(),
                "host": socket.gethostname(),
                "uid": os.getuid(),
                "event": event,
                "aliases": dict(aliases),
                "about": dict(about),
                "previous": entries[-1].sha256 if entries else "",
            }
        )
        entry = _read(line)
        try:
            _check_types(entry)
            _check(entry, {e.about["version"] for e in entries if e.event == "add"})
        except (ValueError, KeyError) as error:  # such a line could never be read again
            raise BadInput(f"the log cannot say {quoted(event, 20)}: {quoted(error)}.") from error
        try:
            jsonl.append(self._path, [dumps(line)], sync=True)
        except OSError:
            self._undo(whole)
            raise
        self.mirror(entry)
        return entry

    def mirror(self, last: Entry) -> None:
        """Write the aliases of the last line to `aliases.json`, unless it has them. A disk that does not take them is
        no failure of what the log says: it is warned of."""
        content = dumps({"aliases": dict(last.aliases), "line": last.number, "sha256": last.sha256}, indent=2)
        path = self._folder / ALIASES
        try:
            if not path.is_file() or path.read_bytes() != content:
                atomic.write_file(path, content)
                atomic.sync(self._folder)
        except OSError as error:
            logger.warning(
                "note: line %d of the log (%s) is written and holds, but '%s' could not be renewed: %s; the next "
                "command that writes renews it.", last.number, quoted(last.event, 20), path, error.strerror or error,
            )  # fmt: skip

    def mirrored(self) -> Mirrored | None:
        """Return what `aliases.json` holds; None without one. Raises BadInput where it is damaged."""
        path = self._folder / ALIASES
        try:
            seen = read_as(Mirrored, json.loads(path.read_text(encoding="utf-8")))
            if seen.line < 1:
                raise ValueError("there is no such line")
            return seen
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(
                f"'{path}' is damaged ({type(error).__name__}); delete it: the log alone says what is released."
            ) from error

    def _undo(self, whole: int) -> None:
        """Cut what was written of a line that the disk did not take: a line that is whole has happened."""
        try:
            os.truncate(self._path, whole)
        except OSError as error:
            raise BadInput(
                f"the disk neither took a line of the log '{self._path}' nor gave it up ({error.strerror or error}): "
                "whether it happened, fastslow registry list says."
            ) from error

    def _entry(self, line: bytes, before: list[Entry], added: set[str]) -> Entry:
        """Return the next line; `added` are the versions so far, and grows."""
        number = len(before) + 1
        try:
            entry, previous = _parsed(line)
            if entry.number == number and previous == (before[-1].sha256 if before else ""):
                _check(entry, added)
                return entry
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise BadInput(f"line {number} of '{self._path}' is not as it was written; put the backup of the log back.")


@lru_cache(maxsize=10_000)
def _parsed(line: bytes) -> tuple[Entry, str]:
    """Return what a line says, and the hash of the line before it. Raises ValueError, KeyError, TypeError,
    AttributeError and RecursionError for a line that was changed.

    A command reads the log many times over, and equal bytes say the same: only new lines are parsed.
    """
    data = json.loads(line)
    if not is_signed(data) or dumps(data) != line:
        raise ValueError("a line that was changed")
    entry = read_as(Entry, {key: value for key, value in data.items() if key != "previous"})
    _check_types(entry)
    return entry, data["previous"]


def _check_types(entry: Entry) -> None:
    for key, value in entry.about.items():
        read_as(ABOUT.get(key, Any), value, key)


def _check(entry: Entry, added: set[str]) -> None:
    """Refuse a line that no command writes, and note the version that it adds. Raises ValueError and KeyError."""
    said = {key: entry.about[key] for key in SAYS.get(entry.event, ())}
    if entry.event == "add":
        if NAME.fullmatch(said["version"]) is None or said["version"] in added:
            raise ValueError("no name of a new version")
        added.add(said["version"])
    unknown = {*entry.aliases.values(), entry.about.get("version", "")} - added - {""}
    if unknown:
        raise ValueError("a version that was never added")


def _read(data: Mapping[str, Any]) -> Entry:
    return Entry(
        number=data["number"],
        time=data["time"],
        by=data["by"],
        event=data["event"],
        aliases=data["aliases"],
        about=data["about"],
        sha256=data["sha256"],
        host=data["host"],
        uid=data["uid"],
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return str(os.getuid())
