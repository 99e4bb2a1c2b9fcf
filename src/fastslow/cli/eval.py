"""`fastslow eval RUN_OR_BUNDLE`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from ..errors import BadInput


class Parser(argparse.ArgumentParser):
    """argparse with our one-line errors."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def run(argv: Sequence[str]) -> int:
    """Measure a bundle on held-out examples and print the quadrants."""
    parser = Parser(
        prog="fastslow eval", description="Measure a run or bundle: base and trained weights under its contexts."
    )
    parser.add_argument("path", help="a run directory, or a bundle folder")
    parser.add_argument("--task", help="another task than the one it was trained on")
    parser.add_argument("--trust_task", action="store_true", help="run the scorer or task code that the bundle names")
    parser.add_argument("--split", choices=["validation", "test"], default="validation", help="default: validation")
    parser.add_argument("--samples", type=_positive, help="samples per example (default: as in the run)")
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: as in the run)")
    parser.add_argument("--top_p", type=float, help="default: as in the run")
    parser.add_argument("--limit", type=_positive, help="at most this many examples")
    parser.add_argument(
        "--kl_examples", type=_count, default=16, help="prompts for the KL to the base; 0: none (default 16)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON as well ('-': standard output)")
    options = parser.parse_args(list(argv))
    if not Path(options.path).is_dir():
        raise BadInput(f"'{options.path}' is no directory; give a run directory or a bundle.")
    Console(stderr=True).print("[dim]loading model ...[/dim]")
    from ..bundle import evaluate_bundle, open_bundle, task_of
    from ..run_dir import clean
    from ..sampler import SamplingParams
    from .train import quiet_libraries

    quiet_libraries()
    bundle = open_bundle(options.path)
    settings = {**bundle.settings, **({"task": options.task} if options.task else {})}
    params = SamplingParams(
        max_new_tokens=int(settings["max_completion_length"]),
        temperature=_either(options.temperature, settings["eval_temperature"]),
        top_p=_either(options.top_p, settings["eval_top_p"]),
    )
    if not 0 <= params.temperature < math.inf or not 0 < params.top_p <= 1:
        raise BadInput("temperature must be at least 0 and top_p in (0, 1].")
    if options.json not in (None, "-") and not Path(options.json).absolute().parent.is_dir():
        raise BadInput(f"cannot write '{options.json}': its folder does not exist.")
    samples = int(_either(options.samples, settings["eval_samples"]))
    rows = evaluate_bundle(
        bundle,
        task_of(settings, trusted=options.trust_task or options.task is not None),
        split=options.split,
        params=params,
        samples=samples,
        kl_examples=options.kl_examples,
        limit=options.limit,
    )
    rows = [{**row, "temperature": params.temperature, "top_p": params.top_p} for row in rows]
    if options.json == "-":
        print(json.dumps(clean(rows), indent=2))
        return 0
    Console().print(_table(rows, options.split))
    if options.json:
        Path(options.json).write_text(json.dumps(clean(rows), indent=2) + "\n", encoding="utf-8")
    return 0


def _table(rows: list[dict], split: str) -> Table:
    how = f"{rows[0]['n']} {split} examples x {rows[0]['samples']} samples at temperature {rows[0]['temperature']}"
    table = Table(title=how)
    for heading in ("weights", "context", "accuracy", "unscored", "KL to base per token"):
        table.add_column(heading, justify="left" if heading in ("weights", "context") else "right")
    for row in rows:
        accuracy = "n/a" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}%"
        kl = "" if row["kl"] is None else f"{row['kl']:.4f}"
        table.add_row(row["weights"], row["context"], accuracy, str(row["unscored"]), kl)
    return table


def _either(first: float | None, second: float) -> float:
    return second if first is None else first


def _positive(text: str) -> int:
    return _at_least(1, text)


def _count(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return value
