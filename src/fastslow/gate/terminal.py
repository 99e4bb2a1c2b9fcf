"""Show a verdict in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from fastslow.core.errors import quoted
from fastslow.gate.verdict import Check, Verdict
from fastslow.record.tables import print_table
from fastslow.tasks.names import short_names

LONGEST = 1000
"""Most characters of a name, a reason or a note that are shown."""

LONGEST_TASK = 80
"""Most characters of a task's name within the headline."""

COLOURS = {"pass": "green", "fail": "red", "undecided": "yellow", "invalid": "red"}


def show(verdict: Verdict, console: Console) -> None:
    """Print the checks as a table, then what follows from them."""
    print_table(console, _table(verdict))
    for line in sentences(verdict):
        console.print(line, highlight=False, soft_wrap=True)


def sentences(verdict: Verdict) -> Iterator[str]:
    """Yield the verdict in words, with rich's markup."""
    yield f"[{COLOURS[verdict.state]}]{verdict.state.upper()}[/]: {escape(headline(verdict))}"
    for check in verdict.checks:
        if check.state != "pass":
            yield f"  {escape(f'{check.kind} {check.name}: {check.state}: {check.reason}')}"
    for note in notes(verdict):
        yield escape(f"note: {note}")


def notes(verdict: Verdict) -> tuple[str, ...]:
    """Return the notes of a verdict, and what its numbers are where some answers earned a part of the reward."""
    graded = [f"{check.kind} {check.name}" for check in verdict.checks if check.graded]
    said = f"partial credit: of {', '.join(graded)}, what stands is the mean reward / the share fully right"
    return (*verdict.notes, *([said] if graded else []))


def headline(verdict: Verdict) -> str:
    """Say what the state means for a release, and of a pass which losses it allowed. Which checks decided it, and why,
    stands with the checks."""
    alike = sum(check.state == verdict.state for check in verdict.checks)
    checks = f"{alike} of {len(verdict.checks)} checks"
    worse = "; ".join(_shown_worse(verdict))
    passed = "every check passed" + (f", though shown worse on {worse}" if worse else "")
    return {
        "pass": f"{passed}; a false release has a chance of at most {100 * verdict.alpha:g}%",
        "fail": f"not to be released, {checks} failed",
        "undecided": f"not shown to be good enough, {checks} undecided",
        "invalid": f"nothing can be said, {checks} invalid" if alike else "nothing can be said, no check was made",
    }[verdict.state]


def _shown_worse(verdict: Verdict) -> Iterator[str]:
    """Yield each check that passes though its whole interval says that the candidate is worse, with what it allows."""
    short = short_names(check.name for check in verdict.checks)
    for check in verdict.checks:
        if check.low is None or check.high is None or check.against is None:
            continue
        name, interval = quoted(short[check.name], LONGEST_TASK), numbers(check)[3]
        if check.kind in ("retain", "samples") and check.high < 0:
            yield f"{name}: {interval} points, within the margin of {-100 * check.against:g}"
        elif check.kind == "prose" and check.low > 0:
            rise = f"{100 * check.low:+.2g}% to {100 * check.high:+.2g}%"
            yield f"prose: {rise} bits per byte, within the limit of {100 * check.against:g}%"


def numbers(check: Check) -> tuple[str, str, str, str, str]:
    """Return candidate, baseline, difference, its interval, and what was allowed, as texts. Where rewards lie between
    0 and 1 as well, the first two are mean rewards, each beside the share that is fully right."""
    paired = check.kind in ("gain", "retain", "samples")

    def text(value: float | None, signed: bool = False) -> str:
        if value is None:
            return ""
        if paired and signed:
            return f"{100 * value:+.1f}"
        if paired:
            return f"{value:.3f}" if check.graded else f"{value:.1%}"
        return f"{value:+.4g}" if signed else f"{value:.4g}"

    right = ["" if share is None else f" / {share:.1%}" for share in (check.candidate_right, check.baseline_right)]
    interval = "" if check.low is None else f"{text(check.low, True)} to {text(check.high, True)}"
    return (
        text(check.candidate) + right[0],
        text(check.baseline) + right[1],
        text(check.difference, True),
        interval,
        text(check.against, True),
    )


def _table(verdict: Verdict) -> Table:
    title = f"{escape(verdict.candidate.name)} against {escape(verdict.baseline.name)}"
    rules = f"alpha {verdict.alpha:g}, {verdict.looks} looks, {100 * verdict.interval_level:g}% intervals"
    table = Table(title=f"{title}\n{rules}, context {escape(verdict.contexts)}")
    for heading in ("check", "of", "state"):
        table.add_column(heading)
    for heading in ("candidate", "baseline", "difference", "interval", "limit", "questions", "won", "lost"):
        table.add_column(heading, justify="right")
    short = short_names(check.name for check in verdict.checks)
    for check in verdict.checks:
        counts = (str(check.n or ""), *(str(c) if check.n else "" for c in (check.won, check.lost)))
        state = f"[{COLOURS[check.state]}]{check.state}[/]"
        table.add_row(escape(check.kind), escape(short[check.name]), state, *numbers(check), *counts)
    return table


def escape(text: str) -> str:
    """Return text in one line that neither rich nor the terminal obeys: names and notes may come from anywhere."""
    return escape_markup(quoted(text, LONGEST))
