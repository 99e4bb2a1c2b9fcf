"""A report as tidy rows, one number a row, for readers who draw their own pictures."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from fastslow.report.questions.compare import compare
from fastslow.report.questions.series import FAST, SLOW
from fastslow.report.reading.data import AXES, RunData
from fastslow.report.reading.sources import Source

HEAD = (
    "run", "arm", "mode", "seed", "model", "task", "step", "rollouts", "tokens", "seconds", "reflection_tokens",
    "context", "quantity", "value", "phase", "turn",
)  # fmt: skip
# A spreadsheet reads a cell that begins with one of these as a formula, and names may come from anywhere.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows(sources: Sequence[Source]) -> str:
    """Return CSV with a header. The empty task stands for the mean over all tasks of a run, the empty context for
    none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for run in (run for source in sources for comparison in compare(source) for run in comparison.all_runs):
        writer.writerows(_rows(run))
    return out.getvalue()


def _rows(run: RunData) -> Iterator[list[Any]]:
    who = [_cell(one) for one in (run.name, run.label, run.mode, run.seed, run.model)]
    for point in run.evaluations:
        for (task, context, quantity), value in sorted(point.values.items()):
            # For a single task, the mean over tasks repeats the numbers of that task.
            if (
                not task
                and len(run.tasks) == 1
                and any(t and (c, q) == (context, quantity) for t, c, q in point.values)
            ):
                continue
            yield [*who, _cell(task), *_spent(point.step, point.spent), context, quantity, value, "eval", point.turn]
    turns = Counter[tuple[str, int | None]]()
    for row in run.metrics:
        turn = turns[row.phase, row.step]
        turns[row.phase, row.step] += 1
        for name in {"slow": SLOW, "fast": FAST}.get(row.phase, {}):
            value = row.numbers.get(name)
            if value is not None and row.step is not None:
                yield [*who, "", *_spent(row.step, row.spent), "", name, value, row.phase, turn]


def _spent(step: int, spent: Any) -> list[Any]:
    return [step, *("" if spent[axis] is None else f"{spent[axis]:.12g}" for axis in AXES if axis != "steps")]


def _cell(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "'" + shown if shown.startswith(FORMULA) else shown
