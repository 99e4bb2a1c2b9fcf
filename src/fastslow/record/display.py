"""Show a person the progress of a run: live lines with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from fastslow.contexts.evidence import Standing
from fastslow.core.errors import printable
from fastslow.core.measurement import CONTEXT_TITLES, Measurement
from fastslow.record.progress import Plan, Progress
from fastslow.record.terminal import can_redraw, lasting_console, live
from fastslow.record.view import EVERY, PHASES, View, count_line, interval, status_line
from fastslow.tasks.names import short_names

GRADED = "mean reward / fully right"
"""What the numbers of an evaluation are where a reward lies between 0 and 1."""

SLOW_PHASES = ("fast", "eval")  # announced where there is no live line: a minute of silence looks like a hang


class Display(Protocol):
    def start(self, plan: Plan, title: str, done: int = 0) -> None: ...
    def phase(self, name: str, step: int) -> None: ...
    def rollouts(self, made: int, budget: int) -> None: ...
    def row(self, row: Mapping[str, Any]) -> None: ...
    def step(self, step: int, logs: dict[str, Any]) -> None: ...
    def fast(self, step: int, metrics: dict[str, float]) -> None: ...
    def evals(self, step: int, measurements: Sequence[Measurement]) -> None: ...
    def standings(self, standings: Sequence[Standing], lead: str) -> None: ...
    def note(self, text: str) -> None: ...
    def stopping(self) -> None: ...
    def stop(self) -> None: ...


class SilentDisplay:
    """Show nothing: for tests, and for every rank but the first."""

    def start(self, plan: Plan, title: str, done: int = 0) -> None: ...
    def phase(self, name: str, step: int) -> None: ...
    def rollouts(self, made: int, budget: int) -> None: ...
    def row(self, row: Mapping[str, Any]) -> None: ...
    def step(self, step: int, logs: dict[str, Any]) -> None: ...
    def fast(self, step: int, metrics: dict[str, float]) -> None: ...
    def evals(self, step: int, measurements: Sequence[Measurement]) -> None: ...
    def standings(self, standings: Sequence[Standing], lead: str) -> None: ...
    def note(self, text: str) -> None: ...
    def stopping(self) -> None: ...
    def stop(self) -> None: ...


class TerminalDisplay:
    """Show a few lines that follow the run, with notes above them; without a terminal, print one plain line for each
    step, so that a log file stays readable.

    What is shown may hold the words of models and files: a terminal shows them, and does not obey them. A reader that
    leaves, and a terminal that closes, end nothing but the showing.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or lasting_console()
        self._progress = Progress(Plan(0))
        self._live: Live | None = None
        self._state = ""
        self._counted = time.monotonic()  # when a pipe was last told how far a phase has come

    def start(self, plan: Plan, title: str, done: int = 0) -> None:
        """Begin to show a run of which so many steps are done."""
        self._progress = Progress(plan, done)
        self.note(title)
        if can_redraw(self.console):
            self._live = live(self.console, View(lambda: self._progress, state=lambda: self._state))
            self._live.start()

    def phase(self, name: str, step: int) -> None:
        self._progress.phase, self._progress.since, self._progress.made = name, time.time(), None
        self._counted = time.monotonic()
        if self._live is None and name in SLOW_PHASES:
            self.note(f"{PHASES[name]} ...")

    def rollouts(self, made: int, budget: int) -> None:
        """Show how many rollouts the phase has made; without a terminal in a line a minute at most."""
        self._progress.made = (made, budget)
        if self._live is None and time.monotonic() - self._counted >= EVERY:
            self.note(count_line(self._progress))
            self._counted = time.monotonic()

    def row(self, row: Mapping[str, Any]) -> None:
        """Take in a line of metrics.jsonl."""
        self._progress.row(row, time.time())

    def step(self, step: int, logs: dict[str, Any]) -> None:
        """Show the step that the latest row is of."""
        if self._live is None:
            self.note(status_line(self._progress, time.time()))

    def fast(self, step: int, metrics: dict[str, float]) -> None:
        get = {name.rpartition("/")[2]: value for name, value in metrics.items()}.__getitem__
        lost = get("lm_unreadable")
        unreadable = f"{lost:.0f} of {get('lm_calls'):.0f} replies without a readable edit, " if lost else ""
        most = self._progress.made[1] if self._progress.made else 0  # what is left may not pay for one more proposal
        self.note(
            f"fast phase at step {step}: {get('proposals'):.0f} proposals, {get('accepted'):.0f} accepted, lead "
            f"context at mean reward {get('lead_anchor_score'):.3f} on the anchor set, {get('metric_calls'):.0f} "
            f"{f'of at most {most} ' if most > get('metric_calls') else ''}rollouts, {unreadable}{get('seconds'):.0f} s"
        )

    def standings(self, standings: Sequence[Standing], lead: str) -> None:
        """Show how good the best context is and how sure that is, and the next one; where the lead is not the best,
        the lead."""
        self._progress.standings({"lead": lead, "standings": [asdict(one) for one in standings]})
        if not standings:
            return
        best, *others = standings
        if best.context_id != lead:
            leads = next((_level(one) for one in others if one.context_id == lead), "has no rollouts yet")
            self.note(f"by all its rollouts another context than the lead earns most, {_level(best)}; the lead {leads}")
            return
        after = f"; the next best {others[0].level:.2f}" if others else ""
        self.note(f"by all its rollouts the best context earns a mean reward of {_level(best)}{after}")

    def note(self, text: str) -> None:
        lines = (printable(line) for line in text.split("\n"))
        self.console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)

    def evals(self, step: int, measurements: Sequence[Measurement]) -> None:
        if len({one.task for one in measurements}) > 1:
            self.note(_evals_by_task(step, measurements))
            return
        graded = any(one.graded for one in measurements)
        results = [level(one.accuracy, one.fully_right if graded else None) for one in measurements]
        shown = [f"{one.weights}+{one.context} {result}" for one, result in zip(measurements, results, strict=True)]
        drifted = [one for one in measurements if one.kl is not None and one.weights == "trained"]
        kls = [f"kl {one.kl:.4f} ({one.context} context)" for one in drifted]
        title = f"eval at step {step}{f' ({GRADED})' if graded else ''}: "
        self.note(title + ", ".join(shown + kls))

    def stopping(self) -> None:
        """Show beside what the run does that it stops after that."""
        self._progress.stopping = True

    def stop(self) -> None:
        if self._live is not None:
            self._state = "ended"  # the lines stay as they are drawn last
            self._live.stop()
            self._live = None


def closing_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of validation accuracies: {base, trained} weights x contexts; for several tasks one block each
    and one for the mean."""
    accuracy, tasks = summary["accuracy"], summary.get("tasks", {})
    blocks = {"mean of tasks": {**accuracy, "fully_right": summary.get("fully_right", {})}}
    graded = any(map(_is_graded, (*blocks.values(), *tasks.values())))
    what = GRADED if graded else "accuracy"
    how = escape(f"{summary['mode']}, seed {summary['seed']}")
    table = Table(title=f"validation {what} after {summary['steps']} steps ({how})")
    evolved = summary.get("channels", {}).get("fast", True)  # else the seed context is the only one
    known = [name for name in CONTEXT_TITLES if name in accuracy and (evolved or name == "seed")]
    contexts = {name: CONTEXT_TITLES[name] for name in known}
    several = len(tasks) > 1
    for heading in ("task", "weights") if several else ("weights",):
        table.add_column(heading, no_wrap=True)
    for context, heading in contexts.items():
        table.add_column(context if several else heading, justify="right")  # a log file has eighty columns
    names = short_names(tasks)
    by_name = {names[task]: values for task, values in tasks.items()} if several else {}
    for name, values in {**by_name, **blocks}.items():
        right = values.get("fully_right", {}) if graded else {}
        cells = {name: level(value, right.get(name)) for name, value in values.items() if name != "fully_right"}
        base = [cells[f"base_{context}"] for context in contexts if f"base_{context}" in cells]
        trained = [cells[context] for context in contexts]
        table.add_row(*([escape(name)] if several else []), "base", *base)
        table.add_row(*([""] if several else []), "trained", *trained, end_section=True)
    return table


def _evals_by_task(step: int, measurements: Sequence[Measurement]) -> str:
    """Return one line for each task, in columns, with the KL of trained weights only."""
    names = short_names(one.task for one in measurements)
    contexts = dict.fromkeys(one.context for one in measurements)
    drifted = dict.fromkeys(m.context for m in measurements if m.kl is not None and m.weights == "trained")
    by_place = {(one.task, one.context): one for one in measurements}
    graded = any(one.graded for one in measurements)
    table = [["", *contexts, *(f"kl: {context}" for context in drifted)]]
    for task, name in names.items():
        shown = [by_place[task, context] for context in contexts]
        accuracies = [level(one.accuracy, one.fully_right if graded else None) for one in shown]
        kls = [by_place[task, context].kl for context in drifted]
        table.append([name, *accuracies, *("n/a" if kl is None else f"{kl:.4f}" for kl in kls)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"eval at step {step}{f' ({GRADED})' if graded else ''}, {measurements[0].weights} weights:"]
    for name, *cells in table:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([f"  {name:{widths[0]}}", *numbers]))
    return "\n".join(lines)


def _level(standing: Standing) -> str:
    return interval((standing.level, standing.low, standing.high))


def level(mean_reward: float | None, fully_right: float | None = None) -> str:
    """Write a mean reward: that of rewards of 0 and 1 is a share, as in 41.2%; that of others stands with the share
    that is fully right, as in 0.412 / 31.2%."""
    if mean_reward is None:
        return "n/a"
    return f"{mean_reward:.1%}" if fully_right is None else f"{mean_reward:.3f} / {fully_right:.1%}"


def _is_graded(values: Mapping[str, Any]) -> bool:
    pairs = ((values.get(name), right) for name, right in values.get("fully_right", {}).items())
    return any(mean is not None and right is not None and right < mean for mean, right in pairs)
