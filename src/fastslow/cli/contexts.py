"""`fastslow contexts RUN_OR_BUNDLE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput

if TYPE_CHECKING:
    from fastslow.contexts.context import Context
    from fastslow.report.questions.contexts import ContextLine
    from fastslow.report.reading.contexts import KnownContexts

FORMATS = ("text", "messages", "template")


def run(argv: Sequence[str]) -> int:
    """List the contexts of a run, print one of them in a form to use elsewhere, or compare two."""
    from fastslow.report.reading.contexts import read_contexts

    options = _options(argv)
    path = _folder(options.path)
    known = read_contexts(path)
    if options.diff:
        _write(_difference(known, *options.diff))
    elif options.show is not None:
        _write(_shown(path, known, options.show, options.format or "text"))
    else:
        from fastslow.report.questions.contexts import context_lines

        lines = context_lines(known)
        if options.json:
            print(json.dumps([asdict(line) for line in lines], indent=2))
        else:
            _list(lines)
    return 0


def _folder(path: str) -> str:
    """Return the folder that a path, or REGISTRY@VERSION, means. Raises BadInput for a version that is damaged."""
    if "@" not in path or Path(path).is_dir():
        return path
    from fastslow.registry.registry import resolve

    return str(resolve(path))


def _shown(path: str, known: KnownContexts, name: str, form: str) -> str:
    context = known.population.named(name)
    if form == "text":
        return _text(known, context)
    from fastslow.bundles.contexts import open_contexts
    from fastslow.cli.train import quiet_libraries

    quiet_libraries()
    opened = open_contexts(path, choosing=False)
    if form == "template":
        return opened.code(context)
    return json.dumps(opened.open_messages(context), ensure_ascii=False, indent=2)


def _text(known: KnownContexts, context: Context) -> str:
    """Return a context as one would paste it; of a soft one, what its rows are near."""
    from fastslow.contexts.rendering import as_text
    from fastslow.report.reading.soft import described

    return (
        as_text(context) if context.soft is None else "\n".join(described(context.soft, known.nearest.get(context.id)))
    )


def _difference(known: KnownContexts, *names: str) -> str:
    first, second = (known.population.named(name) for name in names)
    if first.id == second.id:
        return f"{names[0]} and {names[1]} are the same context, {first.id}"
    before, after = (_text(known, one).splitlines() for one in (first, second))
    return "\n".join(unified_diff(before, after, first.id, second.id, lineterm=""))


def _list(lines: Sequence[ContextLine]) -> None:
    from fastslow.record.tables import print_table

    table = Table("context", "is", title="expected reward by all rollouts, and on the last fast phase's anchor set")
    for heading in ("expected", "95% interval", "rollouts", "anchor", "characters", "examples"):
        table.add_column(heading, justify="right")
    for line in lines:
        interval = "" if line.low is None or line.high is None else f"{_share(line.low)} to {_share(line.high)}"
        rollouts = "" if line.rollouts is None else f"{line.rollouts:.0f}"
        table.add_row(
            line.id, ", ".join(line.roles), _share(line.level), interval, rollouts, _share(line.anchor),
            str(line.characters) if not line.rows else f"{line.rows} rows", str(line.examples),
        )  # fmt: skip
    print_table(Console(), table)
    note = "expected and anchor are of training, mostly under earlier weights; fastslow eval measures the final ones"
    Console().print(note, highlight=False, soft_wrap=True)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _write(text: str) -> None:
    """Print a text that a model may have written: whole for a file or pipe, and as a terminal does not obey it."""
    if sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    if text:
        print(text)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="fastslow contexts",
        description="List the contexts of a run, print one to use elsewhere, or compare two. No weights are loaded.",
    )
    parser.add_argument("path", metavar="RUN", help="a run directory, a bundle folder, or REGISTRY@champion")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--show", nargs="?", const="lead", metavar="ID",
        help="print one: lead (default), seed, or an id or its beginning",
    )  # fmt: skip
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="what differs between two, as a unified diff")
    what.add_argument("--json", action="store_true", help="the list as JSON")
    parser.add_argument(
        "--format", choices=FORMATS,
        help="of --show: text to paste (default), messages in OpenAI's form with {question} at the end, or template: "
        "Python that calls the tokenizer's chat template",
    )  # fmt: skip
    options = parser.parse_args(list(argv))
    if options.format is not None and (options.diff or options.json):
        raise BadInput("--format says how --show prints a context; leave out --diff and --json.")
    if options.format is not None and options.show is None:
        options.show = "lead"
    return options
