"""Print what a recipe would cost on rented GPUs, part by part: `fastslow doctor --config RECIPE --gpus 8xH100`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.cli.flags import count, positive
from fastslow.costs.estimate import Estimate
from fastslow.costs.table import Line, lines_of, notes_of, summary_of
from fastslow.costs.work import CASES, Range
from fastslow.record.tables import print_table

SHARES = ("reused", "live", "mfu")
FLAGS = {
    "prompt_tokens": ("prompt", "tokens of context and question"),
    "answer_tokens": ("answer", "mean tokens of an answer"),
    "reused_share": ("reused", "share of the rollouts that the fast phase serves"),
    "live_share": ("live", "share of the rows that can move the weights"),
    "mfu": ("mfu", "share of the GPUs' FLOP/s that training reaches"),
}
"""Flag -> name in `costs.work.Unknowns`, and help."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the cost model."""
    group = parser.add_argument_group("costs of a recipe on rented GPUs, before anything is rented (with --config)")
    group.add_argument("--gpus", metavar="8xH100", help="kinds: A100 L40S H100 H200 B200; of several nodes: 2x8xH100")
    group.add_argument("--processes", type=positive, metavar="N", help="training processes; default: one on each GPU")
    group.add_argument("--servers", type=count, default=0, metavar="N", help="GPUs that only generate; default: none")
    group.add_argument("--pilot", metavar="RUN", help="a run whose lengths and shares are taken")
    group.add_argument("--prices", metavar="FILE", help="YAML with prices of your own (docs/costs.md)")
    group.add_argument("--json", action="store_true", help="print the table as JSON")
    for flag, (_, text) in FLAGS.items():
        group.add_argument(f"--{flag}", metavar="LOW,TYPICAL,HIGH", help=f"{text}; one number or three")


def costs(options: argparse.Namespace, settings: Sequence[str]) -> int:
    """Print the costs of the run of these settings; exit code 1 where its memory is too small."""
    from fastslow.cli.train import quiet_libraries
    from fastslow.config.parsing import parse_config
    from fastslow.run.costing import Inputs, estimate

    quiet_libraries()
    given = {name: _range(flag, getattr(options, flag), share=name in SHARES)
             for flag, (name, _) in FLAGS.items() if getattr(options, flag) is not None}  # fmt: skip
    inputs = Inputs(
        gpus=options.gpus, processes=options.processes, servers=options.servers, pilot=options.pilot,
        prices=options.prices, given=given,
    )  # fmt: skip
    made = estimate(parse_config(settings), inputs)
    lines, notes = lines_of(made), notes_of(made)
    if options.json:
        rows = [line.to_json() for line in lines]
        print(
            json.dumps({"gpus": str(made.place.machines), "fits": made.fits, "lines": rows, "notes": notes}, indent=1)
        )
    else:
        _show(made, lines, notes)
    return 0 if made.fits else 1


def _show(made: Estimate, lines: Sequence[Line], notes: Sequence[str]) -> None:
    console, place = Console(), made.place
    both = "each GPU trains and serves in turn" if place.shared else f"{place.trainers} train, {place.servers} serve"
    console.print(f"{place.machines}: {both}. Engine {made.work.engine}.", highlight=False, soft_wrap=True)
    console.print(summary_of(made), highlight=False, soft_wrap=True)
    for part in dict.fromkeys(line.part for line in lines):
        table = Table("", *CASES, "how", "from", title=part, title_justify="left")
        for column in table.columns[1:4]:
            column.justify = "right"
        for line in (line for line in lines if line.part == part):
            cells = [_shown(value, line.unit) for value in line.value]
            same = len(set(line.value)) == 1
            table.add_row(
                line.name, *(["", cells[1], ""] if same else cells), escape(line.formula), escape(line.source)
            )
        print_table(console, table)
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _shown(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e9:,.1f} GB" if value >= 1e8 else f"{value / 1e3:,.1f} kB"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "USD":
        return f"${value:,.2f}" if value < 100 else f"${value:,.0f}"
    if unit == "share":
        return f"{value:.1%}"
    number = f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{number} {unit}" if unit in ("s", "h") else number


def _range(flag: str, text: str, *, share: bool) -> Range:
    """Read one number, or three that rise. Raises BadInput."""
    from fastslow.core.errors import BadInput

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    least, most = (1e-3 if flag == "mfu" else 0.0, 1.0) if share else (1.0, 1e7)
    fine = len(numbers) == 3 and numbers == sorted(numbers) and all(math.isfinite(n) for n in numbers)
    if not fine or numbers[0] < least or numbers[2] > most:
        kind = f"a share from {least:g} to 1" if share else "a number of tokens"
        raise BadInput(f"--{flag} is {kind}, or three that rise, as in LOW,TYPICAL,HIGH; got '{text}'.")
    return Range(*numbers)
