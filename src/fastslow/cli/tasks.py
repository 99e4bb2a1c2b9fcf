"""Run `fastslow tasks`: list what can be trained on, show one task as a model sees it, or check it for faults."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.cli.flags import Parser, positive
from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.policy.settings import TEMPLATE_DATE, moment_of
from fastslow.record.tables import print_table

if TYPE_CHECKING:
    from fastslow.core.types import Example
    from fastslow.tasks import Task

SIZES = {"train_size": None, "validation_size": 64, "test_size": 64, "data_seed": 0}
"""Sizes of a run, so that the check covers what a run trains on (None: all examples, of a generator 1000)."""
SHOWN_FROM = 50  # training examples that `show` draws: some generators take minutes for a thousand
FILE_FAMILIES = ("jsonl", "hf")
NAME_HELP = "e.g. 'reasoning_gym:products?max_terms=2'"


def run(argv: Sequence[str]) -> int:
    """List the tasks, show examples of one with verdicts, or check one."""
    parser = Parser(prog="fastslow tasks", description="List tasks, look at one, or check one before training on it.")
    commands = parser.add_subparsers(metavar="list | show NAME | check NAME", dest="command")
    commands.add_parser("list", help="every task name with one line (also: fastslow tasks)")
    show = commands.add_parser("show", help="prompts as the model sees them, right and wrong answers, verdicts")
    check = commands.add_parser("check", help="splits, answers, feedback, lengths; exit code 1 if something is wrong")
    for command in (show, check):
        command.add_argument("name", help=NAME_HELP)
        command.add_argument("--path", help="the file or folder to read, for tasks that take one: NAME?path=PATH")
        for size, default in SIZES.items():
            command.add_argument(f"--{size}", type=int, default=default, help=f"as in a run (default {default})")
        command.add_argument(
            "--model",
            default="smollm2-135m",
            help="model whose template and window are used (default %(default)s)",
        )
        command.add_argument(
            "--chat_template_kwargs", type=_mapping, metavar="JSON", help="arguments of the template, as in a run"
        )
        command.add_argument("--template_date", default=TEMPLATE_DATE, help="as in a run (default %(default)s)")
        command.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    show.add_argument("--examples", type=positive, default=3, help="how many to show (default 3)")
    show.add_argument("--split", choices=["train", "validation", "test"], default="train", help="default: train")
    check.add_argument(
        "--against",
        metavar="OTHER",
        action="append",
        default=[],
        help="a task to search for leaked questions; repeatable",
    )
    options = parser.parse_args(list(argv))
    if options.command in (None, "list"):
        return _list()
    moment_of(options.template_date)
    return {"show": _show, "check": _check}[options.command](options)


def _mapping(text: str) -> dict[str, Any]:
    from fastslow.config.reading import read_value

    try:
        return read_value(text, dict)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _list() -> int:
    from fastslow.tasks.resolve import list_families

    console = Console()
    for family, tasks in list_families():
        if not console.is_terminal:  # whole names, for grep
            print(f"# {family}")
            for name, text in tasks:
                print(f"{name}\t{text}")
            continue
        console.print(f"\n{escape(family)}", style="bold", highlight=False)
        table = Table("task", "what it asks")
        for name, text in tasks:
            table.add_row(escape(name), escape(text))
        print_table(console, table)
    return 0


def _show(options: argparse.Namespace) -> int:
    from fastslow.tasks.check import said, wrong_answers

    sizes = {size: getattr(options, size) for size in SIZES}
    task = _resolve(options.name, options.path, {**sizes, "train_size": options.train_size or SHOWN_FROM})
    prompt_of, _, _ = _reader(options)

    def line(text: str, **how: Any) -> None:
        console.print(escape(printable(text)), highlight=False, soft_wrap=True, **how)

    console = Console()
    line(task.name)
    examples = task.split(options.split)[: options.examples]
    if not examples:
        raise BadInput(f"task '{task.name}' has no {options.split} example.")
    for example in examples:
        console.rule(escape(f"{options.split}, {example.where}"))
        line(prompt_of(example), style="dim")
        try:
            answer = task.answer(example)
            if answer is None:
                line("right answer: none known")
            texts = [("right answer", answer)] if answer is not None else []
            for kind, text in [*texts, *wrong_answers(task, example)]:
                verdict = task.score(example, text)
                line(f"{kind} {text!r}: {said(verdict)}. {verdict.feedback}")
        except Exception as error:  # the user's code may raise anything
            raise BadInput(
                f"task '{options.name}', {example.where}: {foreign.words(error)}; "
                "fastslow tasks check looks at all of them."
            ) from error
    return 0


def _check(options: argparse.Namespace) -> int:
    from fastslow.tasks.check import check_task, overlap
    from fastslow.tasks.splits import SPLITS

    sizes = {size: getattr(options, size) for size in SIZES}
    task = _resolve(options.name, options.path, sizes)
    others = [(name, _resolve(name, None, sizes)) for name in options.against]
    prompt_of, tokens_of, window = _reader(options)
    refused = {}
    for example in (e for split in SPLITS for e in task.split(split)):
        try:
            prompt_of(example)
        except BadInput as problem:
            refused[example.id] = str(problem)
    report = check_task(task, tokens_of=lambda e: 0 if e.id in refused else tokens_of(e), window=window)
    for problem in refused.values():
        report.problem("the model's chat template cannot show an example", problem)
    for name, other in others:
        shared = overlap(task, other)
        report.facts.append(
            f"of {shared['held_out']} held-out questions, {shared['exact']} stand in the training split of {name} and "
            f"{shared['similar']} share 13 words in a row with it"
        )
        if shared["exact"]:
            report.problem(f"{shared['exact']} held-out questions are training questions of {name}")
    print(task.name)
    for kind, lines in (("", report.facts), ("note: ", report.remarks), ("PROBLEM: ", report.lines())):
        for line in lines:
            print(printable(f"  {kind}{line}"))
    print("  not fit to train on" if report.problems else "  fit to train on")
    return int(bool(report.problems))


def printable(text: str) -> str:
    """Return text without characters that a terminal obeys: questions and answers may come from anywhere."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _resolve(name: str, path: str | None, sizes: dict[str, Any]) -> Task:
    from fastslow.tasks.resolve import resolve_task

    if path is not None and name in FILE_FAMILIES:
        name = f"{name}:{path}"
    elif path is not None:
        family = name.partition("?")[0]
        if family == "star_graph" or family.startswith("reasoning_gym:"):
            raise BadInput(f"task '{name}' is generated and reads no file; leave out --path.")
        name += ("&" if "?" in name else "?") + f"path={quote(path, safe='/:.,;+*- ')}"
    return resolve_task(name, **sizes)


def _reader(options: argparse.Namespace) -> tuple[Callable[[Example], str], Callable[[Example], int], int]:
    """Return the prompt of an example as this model sees it under an empty instruction, its tokens, and the model's
    window. Raises BadInput for a chat template that cannot show a question."""
    from fastslow.contexts.context import seed_context
    from fastslow.contexts.rendering import render
    from fastslow.policy.chat import Chat, named
    from fastslow.policy.loading import load_tokenizer, model_window, resolve_model

    source, trust = resolve_model(options.model), bool(options.trust_remote_code)
    chat = Chat(
        load_tokenizer(source, trust_remote_code=trust), kwargs=options.chat_template_kwargs, date=options.template_date
    )
    window, context = model_window(source, trust_remote_code=trust), seed_context("")

    def prompt_of(example: Example) -> str:
        return chat.text(render(context, example, system_role=chat.system_role), named(example))

    def tokens_of(example: Example) -> int:
        return len(chat.ids(render(context, example, system_role=chat.system_role), named(example)))

    return prompt_of, tokens_of, window
