"""Read from a registry's log which champions led to the present one, and which gave way to an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fastslow.core.errors import quoted
from fastslow.gate.verdict import Verdict
from fastslow.registry.log import Entry

CLOCK_SECONDS = 1
"""Seconds by which the times of a log and of a verdict are coarse."""


def line_of(entries: Sequence[Entry]) -> list[str]:
    """Return the champions that led to the present one, oldest first: those that were rolled back are not among
    them."""
    return _walk(entries)[0]


def left_by(entries: Sequence[Entry], version: str) -> Entry | None:
    """Return the last way back from this version to an earlier champion, or over it; None without one.

    A way back is a rollback, and a promotion of whichever kind that makes an earlier champion the champion again.
    """
    return _walk(entries)[1].get(version)


def is_older(verdict: Verdict, sha256: str, back: Entry, entries: Sequence[Entry]) -> bool:
    """Return whether a verdict was measured, or its gate begun, before a way back.

    A verdict that the log names before the way back is older whatever the clocks say; the times decide on others.
    """
    if any(entry.about.get("verdict") == sha256 for entry in entries[: back.number]):
        return True
    try:
        begun = datetime.fromisoformat(verdict.made) - timedelta(seconds=verdict.seconds)
        return begun < datetime.fromisoformat(back.time) - timedelta(seconds=CLOCK_SECONDS)
    except (ValueError, TypeError, OverflowError):  # no time at all, or one without its zone
        return True


def no_way_back(entries: Sequence[Entry], version: str) -> str:
    """Return why there is no rollback to this version, in words."""
    line = line_of(entries)
    if line and version == line[-1]:
        return f"'{version}' is the champion already."
    for entry in reversed(entries):
        if entry.event == "rollback" and entry.about.get("from") == version:
            why = quoted(entry.about.get("reason", ""), 100)
            return (
                f"'{version}' was the champion, and was rolled back from (line {entry.number} of the log"
                f"{f': {why}' if why else ''}): gate it against the present champion and promote it."
            )
    if any(e.event in ("promote", "force") and e.about["version"] == version for e in entries):
        return (
            f"'{version}' was the champion, and a rollback to an earlier one passed over it: gate it against the "
            "present champion and promote it."
        )
    return f"'{version}' never was the champion; gate it and promote it."


def before(line: Sequence[str], version: str) -> list[str]:
    """Return the part of a line of champions before the last time that this version was it."""
    return list(line[: len(line) - 1 - line[::-1].index(version)])


def _walk(entries: Sequence[Entry]) -> tuple[list[str], dict[str, Entry]]:
    """Return the line of champions, and for each version the last way back from it or over it."""
    line: list[str] = []
    left: dict[str, Entry] = {}
    for entry in entries:
        if entry.event not in ("promote", "force", "rollback"):
            continue
        version = entry.about["version"]
        stays = [*before(line, version), version] if version in line else line
        left |= dict.fromkeys(line[len(stays) :], entry)
        if entry.event == "rollback":
            line = stays
        else:  # a promotion takes nothing off the line: a rollback after it goes to the champion before it
            line = [*line, version]
    return line, left
