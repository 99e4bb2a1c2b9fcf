"""Keep the log of a registry: lines that are only ever appended, each with the hash of the line before.

Each line also holds the aliases as they are after it, so that the last line is the state of the registry: a promotion
has happened once its line is whole on the disk, and a line torn by a kill has not happened. `aliases.json` repeats that
state for programs that read one small file; it is replaced after the line is written, and repaired by the next writer.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.files import atomic, jsonl
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import is_signed, signed

LOG = "log.jsonl"
ALIASES = "aliases.json"


@dataclass(frozen=True)
class Entry:
    """One line of the log. `aliases` are those after it; `about` is what the event says of itself."""

    number: int
    time: str
    by: str
    event: str
    aliases: Mapping[str, str]
    about: Mapping[str, Any]
    sha256: str


class Log:
    """The log of the registry in `folder`. Only the holder of the registry's lock may append."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / LOG

    def entries(self) -> list[Entry]:
        """Return every whole line, in order; a torn last one did not happen.

        Raises BadInput for a line that was changed, and for lines that are missing.
        """
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise BadInput(f"the log '{self._path}' cannot be read: {error.strerror or error}.") from error
        entries: list[Entry] = []
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            entries.append(self._entry(line, entries))
        seen = self._mirrored()
        if len(entries) < seen[0] or (seen[0] and entries[seen[0] - 1].sha256 != seen[1]):
            raise BadInput(
                f"the log '{self._path}' lacks lines that '{ALIASES}' has seen (line {seen[0]}); put its backup back."
            )
        return entries

    def append(self, event: str, aliases: Mapping[str, str], about: Mapping[str, Any]) -> Entry:
        """Write one line, wait for the disk, and renew `aliases.json`. Raises BadInput as `entries`, and OSError."""
        entries = self.entries()
        with self._path.open("rb+") as file:
            jsonl.cut_torn_line(file)
        line = signed(
            {
                "number": len(entries) + 1,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "by": _user(),
                "event": event,
                "aliases": dict(aliases),
                "about": dict(about),
                "previous": entries[-1].sha256 if entries else "",
            }
        )
        jsonl.append(self._path, [dumps(line)], sync=True)
        atomic.sync(self._folder)
        entry = _read(line)
        self.mirror(entry)
        return entry

    def mirror(self, last: Entry) -> None:
        """Write the aliases of the last line to `aliases.json`, unless it has them."""
        content = dumps({"aliases": dict(last.aliases), "line": last.number, "sha256": last.sha256}, indent=2)
        path = self._folder / ALIASES
        if not path.is_file() or path.read_bytes() != content:
            atomic.write_file(path, content)
            atomic.sync(self._folder)

    def _mirrored(self) -> tuple[int, str]:
        """Return the number and hash of the line that `aliases.json` was written after; line 0 without one."""
        path = self._folder / ALIASES
        try:
            seen = json.loads(path.read_text(encoding="utf-8"))
            return int(seen["line"]), str(seen["sha256"])
        except FileNotFoundError:
            return 0, ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(
                f"'{path}' is damaged ({type(error).__name__}); delete it: the log alone says what is released."
            ) from error

    def _entry(self, line: bytes, before: list[Entry]) -> Entry:
        number = len(before) + 1
        try:
            data = json.loads(line)
            whole = is_signed(data) and dumps(data) == line
            chained = data["number"] == number and data["previous"] == (before[-1].sha256 if before else "")
            if whole and chained:
                return _read(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise BadInput(f"line {number} of '{self._path}' is not as it was written; put the backup of the log back.")


def _read(data: Mapping[str, Any]) -> Entry:
    return Entry(
        number=data["number"],
        time=data["time"],
        by=data["by"],
        event=data["event"],
        aliases=data["aliases"],
        about=data["about"],
        sha256=data["sha256"],
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return str(os.getuid())
