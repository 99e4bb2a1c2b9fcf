"""A report as Markdown, readable in a terminal, in a review and in a note."""

from __future__ import annotations

from collections.abc import Sequence

from fastslow.report.pages import alternative_tables, control_tables, label_tables, stream_tables, tables
from fastslow.report.pages.tables import Table
from fastslow.report.questions.alone import only_run
from fastslow.report.questions.compare import Comparison, compare, headings, left_out
from fastslow.report.questions.verdict import headline
from fastslow.report.reading.sources import Source

OF_ARMS = (control_tables.against, tables.ceilings)
"""Tables that say nothing new of a single run: the report's first sentence has the controls."""


def markdown(sources: Sequence[Source]) -> str:
    """Return the whole report: verdicts, notices, then a section for each comparison."""
    comparisons = [comparison for source in sources for comparison in compare(source)]
    named = list(zip(headings(comparisons), comparisons, strict=True))
    parts = ["# fastslow report", *(verdict(comparison, name) for name, comparison in named)]
    notices = [f"- **{_text(name)}**: {_text(notice)}" for name, notice in all_notices(sources)]
    if notices:
        parts.append("\n".join(["Not everything is there:", "", *notices]))
    for name, comparison in named:
        parts += [f"## {_text(name)}", f"Model: {_text(comparison.model)}"]
        parts += [section(table) for table in tables_of(comparison)]
    parts.append("Curves, prompts and rollouts: `fastslow report ... --output report.html`.")
    return "\n\n".join(parts) + "\n"


def verdict(comparison: Comparison, name: str = "") -> str:
    """Answer in one sentence whether the method paid. `name` is what the report calls the task, its title if empty."""
    screen = headline(comparison)
    return f"**{screen.answer}** on {_text(name or comparison.title)}: {_text(screen.sentence)}"


def all_notices(sources: Sequence[Source]) -> list[tuple[str, str]]:
    """List what is missing or damaged, each with the name of the run or comparison."""
    notices = [(source.name, notice) for source in sources for notice in source.notices]
    notices += [(run.name, notice) for source in sources for run in source.runs for notice in run.notices]
    said = "left out of verdict, means and curves: other seeds of its arm are finished"
    return notices + [(run.name, said) for source in sources for run in left_out(source)]


def tables_of(comparison: Comparison) -> list[Table]:
    """Return the tables in the order of the questions: results, then costs, then who contributed. Those that hold one
    arm against another are left out where there is one run."""
    made = (
        label_tables.taken_for, tables.cells, control_tables.against, tables.efficiencies, tables.plasticity,
        tables.continual, stream_tables.by_task, stream_tables.streams, stream_tables.differences, tables.drift,
        tables.ceilings, tables.quadrants, tables.runs,
        tables.fast_channel, tables.gains, tables.routing, alternative_tables.price, tables.costs,
    )  # fmt: skip
    alone = only_run(comparison) is not None
    answers = [make(comparison) for make in made if not (alone and make in OF_ARMS)]
    return [table for table in answers if table is not None]


def section(table: Table) -> str:
    """Return one table under its title."""
    lines = [list(map(_text, table.head)), ["---"] * len(table.head), *(list(map(_text, row)) for row in table.rows)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([f"### {_text(table.title)}", body, *map(_text, table.notes)])


def _text(text: str) -> str:
    """Escape a text from a file, so that it cannot end a cell or a line, nor be markup, a link or a picture."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    for mark in "\\|[":
        shown = shown.replace(mark, "\\" + mark)
    return shown.replace("`", "'").replace("<", "&lt;")
