"""`fastslow eval RUN_OR_BUNDLE`."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest

CONTEXTS = ("seed", "lead", "mean", "all", "cluster", "nearest")


MOST = 1_000_000
"""Samples, examples or tokens asked for: more is a slip of the keyboard, and would fill the memory first."""


class Parser(argparse.ArgumentParser):
    """argparse with our one-line errors."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def run(argv: Sequence[str]) -> int:
    """Measure a bundle on held-out examples and print the quadrants."""
    options, kinds = _options(argv)
    Console(stderr=True).print("[dim]loading model ...[/dim]")
    from fastslow.bundles.bundle import evaluate_bundle, open_bundle, open_task, tasks_of
    from fastslow.cli.train import quiet_libraries
    from fastslow.evaluation.accuracy import CHOOSING
    from fastslow.files.run_directory import clean
    from fastslow.policy.engines.transformers import SamplingParams

    quiet_libraries()
    bundle = open_bundle(options.path, choosing=bool(set(kinds) & set(CHOOSING)), trusted=options.trust_task)
    settings = bundle.settings
    if "nearest" in kinds and bundle.topics is not None and bundle.topics.clusters is None:
        raise BadInput(
            "context 'nearest' goes by inferred clusters, and this run's topics were labels; take 'cluster'."
        )
    params = SamplingParams(
        max_new_tokens=int(options.max_completion_length or settings["max_completion_length"]),
        temperature=_either(options.temperature, settings["eval_temperature"]),
        top_p=_either(options.top_p, settings["eval_top_p"]),
    )
    if not 0 <= params.temperature < math.inf or not 0 < params.top_p <= 1:
        raise BadInput("temperature must be at least 0 and top_p in (0, 1].")
    samples = int(_either(options.samples, settings["eval_samples"]))
    names = [name for text in options.tasks or () for name in split_names(text)]
    tasks = [open_task(n, settings, trusted=options.trust_task or bool(names)) for n in names or tasks_of(settings)]
    rows = [
        {**row, "temperature": params.temperature, "top_p": params.top_p}
        for task in tasks
        for row in evaluate_bundle(
            bundle,
            task,
            split=options.split,
            params=params,
            samples=samples,
            kl_examples=options.kl_examples,
            limit=options.limit,
            kinds=kinds,
        )
    ]
    if options.json == "-":
        print(json.dumps(clean(rows), indent=2))
        return 0
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        Console().print(_table(of_task, options.split))
        for line in _choices(of_task):
            Console().print(line, highlight=False)
    if options.json:
        Path(options.json).write_text(json.dumps(clean(rows), indent=2) + "\n", encoding="utf-8")
    return 0


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags and the kinds of context they name. Raises BadInput before anything is loaded."""
    parser = Parser(
        prog="fastslow eval",
        description="Measure a run or bundle: base and trained weights under its contexts, with 95% intervals.",
    )
    parser.add_argument("path", help="a run directory, or a bundle folder")
    parser.add_argument(
        "--tasks", "--task", action="append", metavar="A,B", help="other tasks than those it was trained on; repeatable"
    )
    parser.add_argument(
        "--contexts",
        default="seed,lead,mean",
        help="of seed, lead, mean, all (every member), and, chosen by the question, cluster and nearest; default "
        "seed,lead,mean",
    )
    parser.add_argument("--max_completion_length", type=_positive, help="tokens of an answer (default: as in the run)")
    parser.add_argument("--trust_task", action="store_true", help="run the scorer or task code that the bundle names")
    parser.add_argument("--split", choices=["validation", "test"], default="validation", help="default: validation")
    parser.add_argument("--samples", type=_positive, help="samples per example (default: as in the run)")
    parser.add_argument("--temperature", type=_temperature, help="0 is greedy (default: as in the run)")
    parser.add_argument("--top_p", type=_top_p, help="default: as in the run")
    parser.add_argument("--limit", type=_positive, help="at most this many examples")
    parser.add_argument(
        "--kl_examples", type=_count, default=16, help="prompts for the KL to the base; 0: none (default 16)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON as well ('-': standard output)")
    options = parser.parse_args(list(argv))
    if not options.path or not Path(options.path).is_dir():
        raise BadInput(f"'{options.path}' is no directory; give a run directory or a bundle.")
    kinds = [kind.strip() for kind in options.contexts.split(",") if kind.strip()]
    if not kinds:
        raise BadInput("name at least one context, e.g. --contexts seed,lead.")
    for kind in kinds:
        if kind not in CONTEXTS:
            raise BadInput(f"unknown context '{kind}'.{nearest(kind, CONTEXTS)}")
    if options.json not in (None, "-"):
        _check_target(Path(options.json))
    return options, kinds


def _table(rows: list[dict], split: str) -> Table:
    n, samples = rows[0]["n"], rows[0]["samples"]
    how = f"{n} {split} examples x {samples} samples at temperature {rows[0]['temperature']}, top-p {rows[0]['top_p']}"
    table = Table(title=f"{escape(rows[0]['task'])}\n{how}")
    for heading in (
        "weights",
        "context",
        f"mean@{samples}",
        "95% interval",
        f"best@{samples}",
        "unscored",
        "KL to base",
        "entropy",
    ):
        table.add_column(heading, justify="left" if heading in ("weights", "context") else "right")
    for row in rows:
        interval = "" if row["low"] is None else f"{100 * row['low']:.0f} to {100 * row['high']:.0f}%"
        drift = ["" if row[name] is None else f"{row[name]:.4f}" for name in ("kl", "entropy")]
        context = row["context_id"] if row["context"] == "member" else row["context"]
        shares = _share(row["accuracy"]), interval, _share(row["best"])
        table.add_row(row["weights"], context, *shares, str(row["unscored"]), *drift)
    return table


def _choices(rows: list[dict]) -> list[str]:
    """How contexts chosen by the question fared against the lead. A task that no topic has met has no right one."""
    lines = []
    for row in rows:
        told = []
        if row.get("right_topic") is not None:
            told.append(f"{_share(row['right_topic'])} of the questions in the right topic")
        if row.get("gain") is not None:
            interval = f"95% {100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f}"
            told.append(f"gain over lead {100 * row['gain']:+.1f} points ({interval})")
        if told:
            lines.append(f"{row['weights']} + {row['context']}: {', '.join(told)}")
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def split_names(text: str) -> list[str]:
    """'a,b?x=1,2' -> a; b?x=1,2: a comma parts two tasks only where a name follows it, family and colon or all."""
    return [name.strip() for name in re.split(r",(?=\s*[A-Za-z_][\w.]*(?:[:?]|\s*(?:,|$)))", text) if name.strip()]


def _either(first: float | None, second: float) -> float:
    return second if first is None else first


def _check_target(path: Path) -> None:
    """Before a model is loaded and measured for minutes."""
    if path.is_dir():
        raise BadInput(f"cannot write '{path}': it is a directory; give a file.")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"cannot write '{path}': its folder does not exist.")


def _temperature(text: str) -> float:
    return _between(text, "at least 0", lambda value: 0 <= value < math.inf)


def _top_p(text: str) -> float:
    return _between(text, "above 0 and at most 1", lambda value: 0 < value <= 1)


def _between(text: str, what: str, fits: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got '{text}'") from None
    if not fits(value):
        raise argparse.ArgumentTypeError(f"must be {what}, got '{text}'")
    return value


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
    if value > MOST:
        raise argparse.ArgumentTypeError(f"must be at most {MOST:,}")
    return value
