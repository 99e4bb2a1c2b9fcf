"""Write the progress of a run for a person: one line for a log, a few for a terminal. Pure functions of `Progress`.

A terminal's lines hold whole pieces: a piece that does not fit goes to the next line, and where there are more lines
than `MOST_LINES`, the piece that matters least is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from fastslow.core.texts import duration
from fastslow.record.progress import Progress

PHASES = {
    "start": "starting",
    "fast": "evolving contexts",
    "slow": "training weights",
    "rollout": "rolling out",
    "eval": "evaluating",
    "clusters": "sorting questions",
    "save": "writing the bundle",
}

MOST_LINES = 6
NARROW = 60
"""Columns below which the first pieces have a line of their own."""

EVERY = 60.0
"""Seconds between two lines of a pipe that count rollouts: a quarter of an hour of silence looks like a hang."""

BAR = 20
GAP = "  "


@dataclass(frozen=True)
class Piece:
    """Some words that stay together in a line. Those of a higher `rank` are left out first. `columns` is the least that
    they take, so that what follows does not move with every second."""

    words: str
    rank: int
    style: str = ""
    columns: int = 0


def status_line(progress: Progress, now: float | None) -> str:
    """Return what a step came to in one line, for pipes and log files; what is not known is left out. `now` is None for
    a run that does not go on, which has no ETA."""
    names = {"reward": "reward", "fst/live_rows": "live", "kl": "kl"}
    numbers = (f"{short} {progress.numbers[name]:.3f}" for name, short in names.items() if name in progress.numbers)
    speed, eta = progress.tokens_per_second, "" if now is None else remaining(progress, now)
    return " ".join(
        [
            f"step {progress.step}/{progress.plan.steps}",
            *numbers,
            *([f"tok/s {speed:.3g}" if speed < 1000 else f"tok/s {speed:.0f}"] if speed is not None else []),
            *([f"lead {interval(progress.lead)}"] if progress.lead is not None else []),
            *([f"eta {eta}"] if eta else []),
        ]
    )


def count_line(progress: Progress) -> str:
    """Return in one line how far the phase that goes on has come, for pipes; empty: unknown."""
    made = _made(progress)
    return f"{PHASES.get(progress.phase, progress.phase)}: {made}" if made else ""


def _made(progress: Progress) -> str:
    what = "answers" if progress.phase == "eval" else "rollouts"
    return "" if progress.made is None else "{} of {} {}".format(*progress.made, what)


def remaining(progress: Progress, now: float) -> str:
    """Return what is left, with the kinds of work that the time does not hold, and whether it is the run's own limit
    that ends it; empty: unknown, or the run is told to stop."""
    left = None if progress.stopping else progress.left(now)
    if left is None:
        return ""
    timed = [duration(left.seconds)] if left.seconds >= 1 or not left.without else []
    return " + ".join([*timed, *left.without]) + (" (max_minutes)" if left.limited else "")


def interval(lead: tuple[float, float, float]) -> str:
    """Write an expected reward with its interval, as in 0.63 (0.24 to 1.00)."""
    level, low, high = lead
    return f"{level:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class View:
    """The few lines of a terminal: what the run does and for how long, steps, reward, live groups, lead, KL, speed and
    ETA.

    Args:
        progress: asked anew whenever the lines are drawn.
        state: what to say in place of the phase, where the run does not go on; then there is no ETA either.
        beside: what else to say of the run.
        clock: seconds since the epoch.
    """

    progress: Callable[[], Progress]
    state: Callable[[], str] = lambda: ""
    beside: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = time.time

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines of at most the console's columns."""
        for line in self.lines(options.max_width, ascii_only=options.ascii_only):
            yield Text.assemble(*line, no_wrap=True, overflow="crop")

    def lines(self, width: int, *, ascii_only: bool = False) -> list[list[tuple[str, str]]]:
        """Return the words of each line with their styles."""
        progress, now = self.progress(), self.clock()
        head = _head(progress, self.state(), now, width, ascii_only=ascii_only)
        pieces = [head, list(_numbers(progress)), [Piece(words, 2) for words in (self.beside(),) if words]]
        while True:
            lines = [line for group in pieces for line in _flow(group, width)]
            if len(lines) <= MOST_LINES:
                return lines
            least = max((piece for group in pieces for piece in group), key=lambda piece: piece.rank)
            pieces = [[piece for piece in group if piece is not least] for group in pieces]


def _head(progress: Progress, state: str, now: float, width: int, *, ascii_only: bool) -> list[Piece]:
    """Return what the run does, how far it has come and what is left."""
    doing = PHASES.get(progress.phase, PHASES["slow" if progress.numbers else "start"])
    if progress.since is not None:
        doing = f"{doing} {duration(max(0.0, now - progress.since))}"
    eta = "" if state else remaining(progress, now)
    steps = Piece(_steps(progress, width, ascii_only=ascii_only), 1, "green")
    made = [Piece(_made(progress), 1)] if progress.made and not state else []
    time_left = [Piece(f"ETA {eta}", 2)] if eta else []
    first = Piece(state or doing, 0, "bold cyan", columns=0 if width < NARROW else 26)
    stops = [Piece("told to stop", 1, "yellow")] if progress.stopping and not state else []
    return [first, *stops, *made, *time_left, steps] if width < NARROW else [first, steps, *stops, *time_left, *made]


def _steps(progress: Progress, width: int, *, ascii_only: bool) -> str:
    done, steps = progress.step, progress.plan.steps
    if not steps:
        return f"step {done}"
    share = min(1.0, done / steps)
    counted, percent = f"step {done}/{steps}", f"{share:.0%}"
    columns = min(BAR, width - len(counted) - len(percent) - 2)
    if columns < 4:
        return f"{counted} {percent}"
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    filled = int(share * columns)
    return f"{counted} {full * filled}{empty * (columns - filled)} {percent}"


def _numbers(progress: Progress) -> Iterator[Piece]:
    numbers = progress.numbers
    if "reward" in numbers:
        yield Piece(f"reward {numbers['reward']:.3f}", 1)
    if "frac_reward_zero_std" in numbers:
        yield Piece(f"live groups {1 - numbers['frac_reward_zero_std']:.0%}", 3)
    if progress.lead is not None:
        yield Piece(f"lead {interval(progress.lead)}", 2)
    if "kl" in numbers:
        yield Piece(f"KL {numbers['kl']:.3f}", 4)
    elif progress.drift is not None:
        yield Piece("KL {:.3f} at step {}".format(*progress.drift), 4)
    if progress.tokens_per_second is not None:
        yield Piece(f"{progress.tokens_per_second:,.0f} tokens/s", 5)


def _flow(pieces: Sequence[Piece], width: int) -> Iterator[list[tuple[str, str]]]:
    """Yield lines of whole pieces, as many in each as fit."""
    line: list[tuple[str, str]] = []
    taken = 0
    for piece in pieces:
        words = piece.words.ljust(piece.columns)
        if line and taken + len(GAP) + len(piece.words) > width:
            yield line
            line, taken = [], 0
        if line:
            line.append((GAP, ""))
            taken += len(GAP)
        line.append((words, piece.style))
        taken += len(words)
    if line:
        yield line
