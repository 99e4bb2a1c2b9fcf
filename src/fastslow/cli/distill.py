"""`fastslow distill BUNDLE --output DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fastslow.cli.flags import Parser, between, count, positive
from fastslow.slow.settings import MOST_RATE

KINDS = ("lead", "cluster", "mean")


def run(argv: Sequence[str]) -> int:
    """Distil the contexts of a bundle into its weights; the closing table goes to standard output."""
    options = _options(argv)
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.train import find_modules_of, quiet_libraries
    from fastslow.record.display import TerminalDisplay
    from fastslow.record.tables import print_table
    from fastslow.registry.registry import resolve
    from fastslow.run.distill import DistillSettings, distill

    quiet_libraries()
    if options.trust_task:
        find_modules_of(options.path)
        find_modules_of(str(Path(options.path).resolve().parent))
    settings = DistillSettings(
        contexts=options.contexts,
        steps=options.steps,
        questions=options.questions,
        learning_rate=options.learning_rate,
        seed=options.seed,
        trusted=options.trust_task,
    )
    summary = distill(resolve(options.path), Path(options.output), settings, TerminalDisplay())
    print_table(Console(), _table(summary))
    _say(f"distilled: {options.output} (summary.json, metrics.jsonl, bundle/)")
    return 0


def _table(summary: Mapping[str, Any]) -> Table:
    """Return what was measured, before and after."""
    kind = summary["distilled"]["contexts"]
    accuracy, kl, prose = summary["accuracy"], summary["kl_to_base"], summary["prose_bits_per_byte"]
    tokens = summary["prompt_tokens"]
    table = Table(title=f"the {kind} context distilled in {summary['steps']} steps")
    for heading in ("weights", "context", "accuracy", "KL to base", "prose, bits per byte", "prompt tokens"):
        table.add_column(heading, justify="left" if heading in ("weights", "context") else "right")
    rows = (
        ("before", "seed", prose["before"], tokens["student"]),
        ("before", kind, prose["before"], tokens["teacher"]),
        ("after", "seed", prose["after"], tokens["student"]),
    )
    for when, context, bits, length in rows:
        level, drift = accuracy[when].get(context), kl[when].get(context)
        cells = ["" if level is None else f"{level:.1%}", "" if drift is None else f"{drift:.4f}"]
        table.add_row(when, context, *cells, f"{bits:.4f}", f"{length:.0f}")
    return table


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="fastslow distill",
        description="Train a bundle's weights to answer under the seed context as they do under its contexts.",
    )
    parser.add_argument("path", metavar="BUNDLE", help="a run directory, a bundle folder, or REGISTRY@champion")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--contexts", choices=KINDS, default="lead",
        help="what the teacher answers under: the lead; cluster: what the bundle's topics choose by the question; "
        "mean: any member of the population (default lead)",
    )  # fmt: skip
    parser.add_argument("--steps", type=positive, default=100, help="optimiser steps (default 100)")
    parser.add_argument("--questions", type=positive, default=16, help="questions of a step (default 16)")
    parser.add_argument("--learning_rate", type=_rate, help="default: twice that of training; for adapters ten times")
    parser.add_argument("--seed", type=count, default=42, help="of the questions' order and the samples (default 42)")
    parser.add_argument("--trust_task", action="store_true", help="run the task or embedder that the bundle names")
    return parser.parse_args(list(argv))


def _rate(text: str) -> float:
    return between(text, f"above 0 and at most {MOST_RATE:g}", lambda value: 0 < value <= MOST_RATE)
