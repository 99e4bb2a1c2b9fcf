"""Follow a run from its files alone, as another process writes them, and tell whether it still goes on. Reads only.

What stands in the files may come from anybody: numbers are numbers or missing, names are shown and never obeyed, and
damage ends nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from fastslow.core.errors import BadInput, quoted
from fastslow.core.measurement import CONTEXT_TITLES
from fastslow.core.texts import duration
from fastslow.files.locks import holder, is_worked_on
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import RunDirectory
from fastslow.files.tail import Tail
from fastslow.record.live_file import read_live
from fastslow.record.progress import Plan, Progress
from fastslow.record.view import EVERY, PHASES, count_line, status_line
from fastslow.report.reading.values import count, mapping, names, number, text
from fastslow.tasks.names import short_names

MEASURED = tuple(f"base_{name}" for name in CONTEXT_TITLES) + tuple(CONTEXT_TITLES)
"""Names of accuracies in a summary."""

MOST = 2**20
"""Bytes of a file that is read as a whole: settings and summaries have some thousands."""


@dataclass(frozen=True)
class Condition:
    """How it stands with a run.

    Attributes:
        ended: its summary is there, and nobody is seen to work on it.
        stopped: it has ended before its last step, and can be resumed.
        broken: it has no summary, and nobody works on it.
        words: what to say of that in the place of what the run does; empty while it is at work.
        beside: what to say beside what the run does.
    """

    words: str = ""
    beside: str = ""
    ended: bool = False
    stopped: bool = False
    broken: bool = False


class WatchedRun:
    """One run directory, looked at again and again.

    Args:
        path: a run directory. Raises BadInput where it holds no run.
    """

    def __init__(self, path: str | Path):
        self.path = RunDirectory.open(path).path
        self._metric_rows, self._standings = Tail(self.path / "metrics.jsonl"), Tail(self.path / "standings.jsonl")
        self.progress = Progress(self._plan)
        self.condition = Condition()
        self.lines: list[str] = []
        """A status line for each step that was new at the last look, and one a minute for rollouts of a fast phase, for
        pipes."""
        self._counted = float("-inf")

    def look(self) -> None:
        """Read what is new. Raises BadInput where the run was removed meanwhile."""
        RunDirectory.open(self.path)
        rows, anew = self._read(self._metric_rows)
        if anew:
            self.progress = Progress(self._plan)
            self._standings = Tail(self._standings.path)
        for row in self._read(self._standings)[0][-1:]:
            self.progress.standings(row)
        live = read_live(self.path)
        before = live.process != holder(self.path).partition(" ")[0]  # left by a process that was killed
        self.condition = self._find_condition(live.phase)
        self.progress.stopping = live.stopping and not before
        now = None if self.condition.words else time.time()
        self.lines = []
        for row in rows:
            self.progress.row(row, self._metric_rows.written or time.time())
            if row.get("phase") == "slow":
                self.lines.append(status_line(self.progress, now))
        resumed = before and not self.condition.broken
        self.progress.phase, self.progress.since = ("start", None) if resumed else (live.phase, live.since)
        self._count(None if resumed or self.condition.words else live.made)

    def _count(self, made: tuple[int, int] | None) -> None:
        """Take in how many rollouts the phase has made, and say so where the last such line is a while ago."""
        news = made is not None and made != self.progress.made
        self.progress.made = made
        if news and time.monotonic() - self._counted >= EVERY:
            self.lines.append(count_line(self.progress))
            self._counted = time.monotonic()

    @property
    def summary(self) -> dict[str, Any] | None:
        """What summary.json says, as far as the closing table shows it; None where there is none, or a damaged one."""
        try:
            said = json.loads(read_plain(self.path / "summary.json", MOST))
        except (OSError, ValueError, RecursionError):
            return None
        return _checked(mapping(said)) if mapping(said) else None

    @property
    def title(self) -> str:
        """What is trained on what, in one line."""
        several, one = self._settings.get("tasks"), self._settings.get("task")
        named = names(several) or [text(one, "")]
        tasks = [name or "a task given in Python" for name in named]
        model = text(self._settings.get("model"), "unknown")
        return quoted(
            f"fastslow {text(self._settings.get('mode'), 'unknown')}: {Path(model).name} on "
            f"{' + '.join(short_names(tasks).values())}, {self._plan.steps} steps ({self.path})", 500,
        )  # fmt: skip

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        try:
            return mapping(yaml.safe_load(read_plain(self.path / "config.yaml", MOST)))
        except Exception as error:  # PyYAML's constructors raise whatever the text leads them to
            raise BadInput(
                f"'{self.path / 'config.yaml'}' cannot be read ({type(error).__name__}); "
                f"fastslow report {quote(str(self.path))} shows the rest."
            ) from error

    @property
    def _plan(self) -> Plan:
        return Plan.of(self._settings)

    def _read(self, tail: Tail) -> tuple[list[dict[str, Any]], bool]:
        try:
            return tail.news()
        except (OSError, ValueError):  # a share that is away for a while, or no plain file
            return [], False

    def _find_condition(self, phase: str) -> Condition:
        """Return how it stands with the run, whose process said last what phase it is in."""
        summary, at_work = self.summary, is_worked_on(self.path)
        if summary is not None and not at_work:
            return Condition(quoted(summary["status"]), ended=True, stopped=summary["status"] != "done")
        if summary is not None:
            return Condition("closing" if summary["status"] == "done" else "resuming")
        if at_work:
            return Condition()
        written = self._metric_rows.written
        ago = f", last line {duration(max(0.0, time.time() - written))} ago" if written is not None else ""
        if at_work is False:
            doing = PHASES.get(phase)
            return Condition(f"broken off{f' while {doing}' if doing else ''}{ago}", broken=True)
        return Condition(beside=f"process {quoted(holder(self.path), 60)} cannot be seen from here{ago}")


def _checked(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the closing table needs, each value of its kind."""
    channels = mapping(summary.get("channels"))
    accuracy = _numbers(summary.get("accuracy"), MEASURED)
    return {
        "status": text(summary.get("status"), "broken off"),
        "steps": count(summary.get("steps")) or 0,
        **{name: quoted(text(summary.get(name), "unknown"), 40) for name in ("mode", "seed")},
        "channels": {"fast": channels.get("fast") is not False},
        "accuracy": accuracy,
        "fully_right": _numbers(summary.get("fully_right"), accuracy),
        "tasks": {
            quoted(task): {
                **{name: number(mapping(values).get(name)) for name in accuracy},
                "fully_right": _numbers(mapping(values).get("fully_right"), accuracy),
            }
            for task, values in mapping(summary.get("tasks")).items()
        },
    }


def _numbers(values: Any, wanted: Iterable[str]) -> dict[str, float | None]:
    known = mapping(values)
    return {name: number(known[name]) for name in wanted if name in known}
