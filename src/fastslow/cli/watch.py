"""`fastslow watch RUN`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from shlex import quote

from rich.console import Console

from fastslow.cli.called import called
from fastslow.cli.flags import Parser, between
from fastslow.core.errors import BadInput, printable
from fastslow.files.locks import is_worked_on
from fastslow.files.run_directory import starts_yet
from fastslow.record.terminal import can_redraw, live
from fastslow.record.view import View
from fastslow.record.watching import WatchedRun

DAY = 86_400.0
PATIENCE = 600.0
"""Seconds for which a run may be starting: a mistyped name would be waited for without end."""

LOADING = 60.0
"""Seconds for which a stopped run may be about to go on: a resume loads its libraries before it is seen at work."""


def run(argv: Sequence[str]) -> int:
    """Show a run that another process works on, until it ends; return 0 then, and 130 after Ctrl-C."""
    options = _options(argv)
    console = Console()
    try:
        if not options.once:
            _await(console, options.run, options.interval)
        elif starts_yet(options.run) and Path(options.run).is_dir() and is_worked_on(Path(options.run)):
            _say(console, f"a run starts in '{options.run}': it loads its model and has written nothing yet.")
            return 0
        elif starts_yet(options.run):
            raise BadInput(
                f"'{options.run}' holds no run. One that was started a moment ago is seen once its libraries are "
                "loaded; without --once this waits for it."
            )
        watched = WatchedRun(options.run)
        watched.look()
        _say(console, watched.title)
        if options.once:
            console.print(_view(watched))
            _say(console, _verdict(watched))
        else:
            latest = watched.lines[-1:]
            _await_resume(console, watched, options.interval)
            _follow(console, watched, options.interval, latest)
    except KeyboardInterrupt:
        return 130
    if watched.condition.ended:
        _close(watched)
    return 0


def _await(console: Console, run: str, interval: float) -> None:
    """Wait for a run that is still starting: models are loaded before its first file is written."""
    if starts_yet(run):
        _say(console, f"'{run}' holds no run yet: waiting for one to start there, ten minutes at most.")
    begun = time.monotonic()
    while starts_yet(run) and time.monotonic() - begun < PATIENCE:
        time.sleep(interval)


def _await_resume(console: Console, watched: WatchedRun, interval: float) -> None:
    """Wait for a run that was stopped, and that somebody may be resuming."""
    if not watched.condition.stopped:
        return
    _say(console, f"The run was {watched.condition.words}. Waiting {LOADING:.0f} s, in case it is being resumed.")
    begun = time.monotonic()
    while time.monotonic() - begun < LOADING and not is_worked_on(watched.path):
        time.sleep(interval)
    watched.look()


def _follow(console: Console, watched: WatchedRun, interval: float, new: Sequence[str]) -> None:
    """Show the run until it ends: on a terminal in lines that are drawn anew, else with a line for each new step,
    after those that are `new` already."""
    redraw = can_redraw(console)
    said = ""
    with live(console, _view(watched)) if redraw else nullcontext():
        while True:
            for line in () if redraw else new:
                _say(console, line)
            if (verdict := _verdict(watched)) != said:
                _say(console, verdict or "The run goes on.")
                said = verdict
            if watched.condition.ended:
                return
            time.sleep(interval)
            watched.look()
            new = watched.lines


def _view(watched: WatchedRun) -> View:
    return View(
        lambda: watched.progress, state=lambda: watched.condition.words, beside=lambda: watched.condition.beside
    )


def _verdict(watched: WatchedRun) -> str:
    """Say in a line that a run was broken off, and how it goes on; empty for any other."""
    if not watched.condition.broken:
        return ""
    return f"The run was broken off: no process works on it. {_go_on(watched)}"


def _go_on(watched: WatchedRun) -> str:
    return f"To go on: {called()} resume {quote(str(watched.path))}"


def _close(watched: WatchedRun) -> None:
    """Print the closing table, and how a stopped run goes on (`cli.closing.close`)."""
    from fastslow.cli.closing import close

    if (summary := watched.summary) is None:
        return
    close(summary, str(watched.path), own=False)


def _say(console: Console, line: str) -> None:
    if line:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="fastslow watch",
        description="Show a run that another process works on, here or on another machine over a shared folder: what "
        "it does, steps, reward, lead, speed and ETA. Waits for a run that is still starting. Only reads. Ends with "
        "the run; Ctrl-C ends the watching alone.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="S", help="seconds between two looks at the files; default 2"
    )
    parser.add_argument("--once", action="store_true", help="show how it stands now, and end")
    return parser.parse_args(list(argv))


def _seconds(words: str) -> float:
    return between(words, "a number of seconds from 0.1 to a day", lambda value: 0.1 <= value <= DAY)
