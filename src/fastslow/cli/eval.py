"""`fastslow eval RUN_OR_BUNDLE`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fastslow.cli.flags import Parser, arguments, between, check_target, count, positive, write
from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.policy.settings import LEAST_TEMPERATURE, MOST_TEMPERATURE, is_temperature
from fastslow.record.terminal import can_redraw
from fastslow.tasks.names import split_names

if TYPE_CHECKING:
    from fastslow.core.measurement import Measurement
    from fastslow.evaluation.accuracy import Told
    from fastslow.policy.engines.base import SamplingParams

CONTEXTS = ("seed", "lead", "mean", "all", "cluster", "nearest", "retrieved")


def run(argv: Sequence[str]) -> int:
    """Measure a bundle on held-out examples and print the quadrants."""
    options, kinds = _options(argv)
    Console(stderr=True).print("[dim]loading model ...[/dim]")
    with foreign.output_aside(), _followed() as told:  # scorers may print, and the rows go to standard output
        measurements, params, dtype = _measure(options, kinds, told)
    _show(measurements, params, dtype, options)
    return 0


@contextmanager
def _followed() -> Iterator[Told]:
    """Show on a terminal how many answers there are, and when those to one task under one set of weights will be
    whole."""
    console = Console(stderr=True)
    columns = (TextColumn("answers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True, disable=not can_redraw(console)) as bar:
        task = bar.add_task("answers", total=None, visible=False)
        yield lambda made, asked: bar.update(task, completed=made, total=asked, visible=True)


def _measure(
    options: argparse.Namespace, kinds: Sequence[str], told: Told
) -> tuple[list[Measurement], SamplingParams, str]:
    """Return what was measured, how answers were sampled, and the compute type."""
    import torch

    from fastslow.bundles.bundle import (
        check_kind,
        check_openable,
        open_bundle,
        open_task,
        settings_of,
        tasks_of,
        usual_kinds,
    )
    from fastslow.bundles.digest import folder_of, has_manifest
    from fastslow.cli.train import find_modules_of, quiet_libraries
    from fastslow.evaluation.bundle import evaluate_bundle
    from fastslow.topics.topics import CHOOSING

    quiet_libraries()
    if options.trust_task:
        find_modules_of(options.path)
        find_modules_of(str(Path(options.path).resolve().parent))
    named = settings_of(options.path)[1]
    for name in () if options.tasks else tasks_of(named):
        check_openable(name, named, trusted=options.trust_task)  # before the model is loaded
    kinds = kinds or usual_kinds(named)
    bundle = open_bundle(options.path, choosing=bool(set(kinds) & set(CHOOSING)), trusted=options.trust_task)
    settings = bundle.settings
    if options.chat_template_kwargs is not None:
        settings["chat_template_kwargs"] = options.chat_template_kwargs
    if not has_manifest(folder_of(options.path)):
        _warn("the bundle has no manifest, as older versions wrote none: whether its files are whole is not known")
    for kind in set(kinds) & set(CHOOSING):
        check_kind(bundle, kind)
    params = _sampling(options, settings)
    samples = int(_either(options.samples, settings["eval_samples"]))
    names = [name for text in options.tasks or () for name in split_names(text)]
    tasks = [open_task(n, settings, trusted=options.trust_task or bool(names)) for n in names or tasks_of(settings)]
    dtype = _dtype(options.dtype, settings)
    measurements = [
        one
        for task in tasks
        for one in evaluate_bundle(
            bundle,
            task,
            split=options.split,
            params=params,
            samples=samples,
            kl_examples=options.kl_examples,
            dtype=getattr(torch, dtype),
            limit=options.limit,
            kinds=kinds,
            told=told,
        )
    ]
    return measurements, params, dtype


def _sampling(options: argparse.Namespace, settings: Mapping[str, Any]) -> SamplingParams:
    """Return how answers are sampled: as asked for, else as in the run. Raises BadInput for what cannot be sampled."""
    from fastslow.policy.engines.base import SamplingParams

    params = SamplingParams(
        max_new_tokens=int(options.max_completion_length or settings["max_completion_length"]),
        temperature=_either(options.temperature, settings["eval_temperature"]),
        top_p=_either(options.top_p, settings["eval_top_p"]),
    )
    if not is_temperature(params.temperature) or not 0 < params.top_p <= 1:
        raise BadInput(
            f"the bundle's temperature ({params.temperature}) or top_p ({params.top_p}) cannot be sampled with; give "
            "--temperature and --top_p."
        )
    return params


def _dtype(asked: str | None, settings: Mapping[str, Any]) -> str:
    """Return the type to compute in, by default that of the run, and say where that makes numbers hard to compare."""
    from fastslow.evaluation.bundle import compute_type

    of_run = settings["dtype"]
    dtype = asked or compute_type(settings)
    if of_run is None and asked is None:
        _warn(f"the bundle does not say which type its run computed in; measured in {dtype} (--dtype)")
    elif of_run not in (None, dtype):
        _warn(f"the run computed in {of_run}, and this is measured in {dtype}: not for comparison with its numbers")
    return dtype


def _warn(text: str) -> None:
    Console(stderr=True).print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


def _show(measurements: Sequence[Measurement], params: SamplingParams, dtype: str, options: argparse.Namespace) -> None:
    """Write the files that were asked for, and print the tables unless the rows go to standard output."""
    from fastslow.cli.eval_notes import notes
    from fastslow.files.run_directory import clean, to_json
    from fastslow.record.tables import print_table

    if options.samples_file:
        lines = (to_json(line | {"dtype": dtype}) for one in measurements for line in one.answer_rows())
        write(Path(options.samples_file), b"".join(lines))
    how = {"temperature": params.temperature, "top_p": params.top_p, "dtype": dtype}
    rows = json.dumps(clean([{**one.row(), **how} for one in measurements]), indent=2)
    if options.json == "-":
        print(rows)
        return
    for task in dict.fromkeys(one.task for one in measurements):
        of_task = [one for one in measurements if one.task == task]
        print_table(Console(), _table(of_task, params, dtype))
        for line in _choices(of_task):
            Console().print(line, highlight=False)
        for note in notes(of_task):
            _warn(note)
    if options.json:
        write(Path(options.json), f"{rows}\n".encode())


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags and the kinds of context they name. Raises BadInput before anything is loaded."""
    parser = Parser(
        prog="fastslow eval",
        description="Measure a run or bundle: base and trained weights under its contexts, with 95% intervals.",
    )
    parser.add_argument("path", help="a run directory, a bundle folder, or REGISTRY@champion")
    parser.add_argument(
        "--tasks", "--task", action="append", metavar="A,B", help="other tasks than those it was trained on; repeatable"
    )
    parser.add_argument(
        "--contexts",
        default="",
        help="of seed, lead, mean, all (every member), and, chosen by the question, cluster, nearest and retrieved; "
        "default seed,lead,mean, and of a run that retrieves answers seed,retrieved",
    )
    parser.add_argument("--max_completion_length", type=positive, help="tokens of an answer (default: as in the run)")
    parser.add_argument("--trust_task", action="store_true", help="run the scorer or task code that the bundle names")
    parser.add_argument("--split", choices=["validation", "test"], default="validation", help="default: validation")
    parser.add_argument("--samples", type=positive, help="samples per example (default: as in the run)")
    parser.add_argument("--temperature", type=_temperature, help="0 is greedy (default: as in the run)")
    parser.add_argument("--top_p", type=_top_p, help="default: as in the run")
    parser.add_argument(
        "--chat_template_kwargs", type=arguments, metavar="JSON",
        help="arguments of the chat template, such as '{\"enable_thinking\": false}' (default: as in the run)",
    )  # fmt: skip
    parser.add_argument("--limit", type=positive, help="at most this many examples")
    parser.add_argument(
        "--kl_examples", type=count, default=16, help="prompts for the KL to the base; 0: none (default 16)"
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="type that answers are computed in (default: the run's; another one gives other answers)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON as well ('-': standard output)")
    parser.add_argument(
        "--samples_file",
        metavar="FILE.jsonl",
        help="write every answer's reward as well, one line of JSON each: to compare runs question by question",
    )
    options = parser.parse_args(list(argv))
    if "@" in options.path and not Path(options.path).is_dir():
        from fastslow.registry.registry import resolve

        options.path = str(resolve(options.path))
    if not options.path or not Path(options.path).is_dir():
        raise BadInput(f"'{options.path}' is not a directory; give a run directory, a bundle, or REGISTRY@champion.")
    kinds = [kind.strip() for kind in options.contexts.split(",") if kind.strip()]
    if options.contexts and not kinds:
        raise BadInput("name at least one context, e.g. --contexts seed,lead.")
    for kind in kinds:
        if kind not in CONTEXTS:
            raise BadInput(f"unknown context '{kind}'.{nearest(kind, CONTEXTS)}")
    targets = [Path(file) for file in (options.json, options.samples_file) if file not in (None, "-")]
    same = len(targets) == 2 and targets[0].resolve() == targets[1].resolve()
    if options.samples_file in ("", "-") or same:
        raise BadInput(f"--samples_file needs a file of its own, got '{options.samples_file}'.")
    for target in targets:
        check_target(target)
    return options, kinds


def _table(measurements: Sequence[Measurement], params: SamplingParams, dtype: str) -> Table:
    first = measurements[0]
    n, samples = first.n, first.samples
    sampled = f"{samples} samples at temperature {params.temperature}, top-p {params.top_p}"
    how = f"{n} {first.split} examples x {sampled}, computed in {dtype}"
    table = Table(title=f"{escape(first.task)}\n{how}")
    graded = any(one.graded for one in measurements)
    means = (f"mean reward@{samples}", "95% interval", f"best reward@{samples}", "fully right")
    shares = (f"mean@{samples}", "95% interval", f"best@{samples}")
    for heading in ("weights", "context", *(means if graded else shares), "unscored", "KL to base", "entropy"):
        table.add_column(heading, justify="left" if heading in ("weights", "context") else "right")
    write_level = _reward if graded else _share
    for one in measurements:
        known = one.low is not None and one.high is not None
        interval = f"{write_level(one.low)} to {write_level(one.high)}" if known else ""
        kl = one.kl if one.weights == "trained" else None  # the base's 0 is a definition, not a measurement
        drift = ["" if value is None else f"{value:.4f}" for value in (kl, one.entropy)]
        context = one.context_id if one.context == "member" else one.context
        levels = (
            write_level(one.accuracy),
            interval,
            write_level(one.best),
            *([_share(one.fully_right)] if graded else []),
        )
        table.add_row(one.weights, context, *levels, str(one.unscored), *drift)
    return table


def _choices(measurements: Iterable[Measurement]) -> list[str]:
    """Show how contexts chosen by the question compare with the lead; a task that no topic has met has no right
    choice."""
    lines = []
    for one in measurements:
        choice, parts = one.choice, []
        if choice is not None and choice.right_topic is not None:
            parts.append(f"{_share(choice.right_topic)} of the questions in the right topic")
        if choice is not None and None not in (choice.gain, choice.gain_low, choice.gain_high):
            gain, low, high = (100 * float(g or 0.0) for g in (choice.gain, choice.gain_low, choice.gain_high))
            parts.append(f"gain over lead {gain:+.1f} points (95% {low:+.1f} to {high:+.1f})")
        if parts:
            lines.append(f"{one.weights} + {one.context}: {', '.join(parts)}")
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _reward(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _either(first: float | None, second: float) -> float:
    return second if first is None else first


def _temperature(text: str) -> float:
    return between(text, f"0 (greedy), or from {LEAST_TEMPERATURE} to {MOST_TEMPERATURE:g}", is_temperature)


def _top_p(text: str) -> float:
    return between(text, "above 0 and at most 1", lambda value: 0 < value <= 1)
