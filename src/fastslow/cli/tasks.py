"""Run `fastslow tasks`: list what can be trained on, show a task as a model sees it, check it, or draft a new one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.cli.called import called
from fastslow.cli.flags import Parser, arguments, check_target, positive, write
from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.policy.settings import TEMPLATE_DATE, moment_of
from fastslow.record.tables import print_table

if TYPE_CHECKING:
    from fastslow.core.types import Example
    from fastslow.tasks import Task
    from fastslow.tasks.check import TaskReport

SIZES = {"train_size": None, "validation_size": 64, "test_size": 64, "data_seed": 0}
"""Sizes of a run, so that the check covers what a run trains on (None: all examples, of a generator 1000)."""
SHOWN_FROM = 50  # training examples that `show` draws: some generators take minutes for a thousand
LONGEST_ANSWERS = 20  # whose tokens `new` counts
KINDS = {
    "exact": "texts, met letter by letter",
    "labels": "labels",
    "number": "numbers, met by value",
    "choice": "letters of options",
    "json": "JSON, met field by field",
}
FILE_FAMILIES = ("jsonl", "hf")
MODEL = "smollm2-135m"
DEFAULTS = SIZES | {
    "model": MODEL, "chat_template_kwargs": None, "template_date": TEMPLATE_DATE, "trust_remote_code": False,
    "seed_instruction": "",
}  # fmt: skip
"""Settings of a run that say how its task is cut and read."""
NAME_HELP = "e.g. 'reasoning_gym:products?max_terms=2'"


def run(argv: Sequence[str]) -> int:
    """List the tasks, show examples of one with verdicts, check one, or draft one from data."""
    options = _parser(DEFAULTS).parse_args(list(argv))
    if options.command in (None, "list"):
        return _list()
    if options.command != "new":
        options = _with_recipe(options, argv)
    moment_of(options.template_date)
    return {"show": _show, "check": _check, "new": _new}[options.command](options)


def _with_recipe(options: argparse.Namespace, argv: Sequence[str]) -> argparse.Namespace:
    """Return the options with what a recipe says in the place of defaults: flags win. Raises BadInput for a recipe
    that no run could begin with, and where no task is named."""
    if options.config is None:
        if options.name is None:
            raise BadInput(f"name a task, or a recipe: fastslow tasks {options.command} --config RECIPE.")
        return options
    from fastslow.config.parsing import parse_config

    config = parse_config(["--config", options.config])
    options = _parser({name: getattr(config, name) for name in DEFAULTS}).parse_args(list(argv))
    if options.name is None and config.tasks:
        raise BadInput(
            f"recipe '{options.config}' is of several tasks; name one: fastslow tasks {options.command} NAME --config "
            f"{options.config}"
        )
    options.name = options.name or config.task
    return options


def _parser(defaults: Mapping[str, Any]) -> Parser:
    """Return the parser, with defaults of the settings of a run."""
    parser = Parser(prog="fastslow tasks", description="List tasks, look at one, or check one before training on it.")
    commands = parser.add_subparsers(metavar="list | show NAME | check NAME | new NAME --from DATA", dest="command")
    commands.add_parser("list", help="every task name with one line (also: fastslow tasks)")
    show = commands.add_parser("show", help="prompts as the model sees them, right and wrong answers, verdicts")
    check = commands.add_parser("check", help="splits, answers, feedback, lengths; exit code 1 if something is wrong")
    new = commands.add_parser(
        "new", help="a scorer to change, NAME.py, from data of your own; checked, with a recipe, NAME.yaml"
    )
    new.add_argument("name", help="the task's name, and that of the Python file and the recipe that are written here")
    data = "data.csv, .json, .jsonl, .parquet or hf:OWNER/NAME; columns as in 'data.csv?question=prompt&answer=gold'"
    new.add_argument("--from", dest="source", required=True, metavar="DATA", help=data)
    for command in (show, check):
        command.add_argument("name", nargs="?", help=f"{NAME_HELP}; default: that of --config")
        command.add_argument(
            "--config",
            metavar="RECIPE",
            help="take the task, sizes, model, template and plain prompt of this recipe; flags win",
        )
        command.add_argument("--path", help="the file or folder to read, for tasks that take one: NAME?path=PATH")
    for command in (show, check, new):
        _add_settings(command, defaults, first=command is new)
    show.add_argument("--examples", type=positive, default=3, help="how many to show (default 3)")
    show.add_argument("--split", choices=["train", "validation", "test"], default="train", help="default: train")
    check.add_argument(
        "--against",
        metavar="OTHER",
        action="append",
        default=[],
        help="a task to search for leaked questions; repeatable",
    )
    return parser


def _add_settings(command: argparse.ArgumentParser, defaults: Mapping[str, Any], *, first: bool) -> None:
    """Add the settings of a run that say how its task is cut and read; of a `first` try, which is cut smaller."""
    from fastslow.tasks.first_try import SPLITS

    for size, default in SIZES.items():
        shown = SPLITS.get(size, default) if first else default
        command.add_argument(
            f"--{size}",
            type=int,
            default=defaults[size],
            help=f"as in a run (default {'all' if shown is None else shown})",
        )
    command.add_argument(
        "--model", default=defaults["model"], help="whose template and window are used (default %(default)s)"
    )
    command.add_argument(
        "--chat_template_kwargs",
        type=arguments,
        default=defaults["chat_template_kwargs"],
        metavar="JSON",
        help="arguments of the template, as in a run",
    )
    command.add_argument(
        "--seed_instruction", default=defaults["seed_instruction"], help="the plain prompt, as in a run (default none)"
    )
    command.add_argument("--template_date", default=defaults["template_date"], help="as in a run (default %(default)s)")
    command.add_argument(
        "--trust_remote_code",
        action="store_true",
        default=defaults["trust_remote_code"],
        help="run code that comes with the model",
    )


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
    from fastslow.tasks.episodes import begin

    task = _resolve(options.name, options.path, {**_sizes(options), "train_size": options.train_size or SHOWN_FROM})
    prompt_of = _reader(options, task).prompt

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
            right = "right answer" if begin(task, example) is None else "first turn"
            texts = [(right, answer)] if answer is not None else []
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
    from fastslow.tasks.check import overlap

    sizes = _sizes(options)
    task = _resolve(options.name, options.path, sizes)
    others = [(name, _resolve(name, None, sizes)) for name in options.against]
    report = _examined(task, _reader(options, task))
    for name, other in others:
        shared = overlap(task, other)
        report.facts.append(
            f"of {shared['held_out']} held-out questions, {shared['exact']} stand in the training split of {name} and "
            f"{shared['similar']} share 13 words in a row with it"
        )
        if shared["exact"]:
            report.problem(f"{shared['exact']} held-out questions are training questions of {name}")
    return _reported(task, report)


def _new(options: argparse.Namespace) -> int:
    """Write the scorer of a new task and a recipe, once its data have been found fit to train on."""
    from fastslow.tasks.draft import draft_task, room_for
    from fastslow.tasks.first_try import SPLITS, first_recipe, how_long, plain_prompt

    target, recipe = Path(f"{options.name}.py"), Path(f"{options.name}.yaml")
    draft = draft_task(options.name, options.source)
    if recipe.is_symlink() or recipe.exists():
        raise BadInput(f"'{recipe}' exists already; take another name, or remove it.")
    check_target(target)
    given = {size: value for size, value in _sizes(options).items() if value != SIZES[size]}
    sizes: dict[str, Any] = {**SIZES, **SPLITS, **given}  # as the recipe will cut it
    options.seed_instruction = options.seed_instruction or plain_prompt(draft.kind, draft.labels)
    task = draft.task(**sizes)
    reader = _reader(options, task)
    report = _examined(task, reader)
    longest = max(map(reader.length, sorted(set(draft.answers), key=len)[-LONGEST_ANSWERS:]))
    room = room_for(longest)
    columns = f"questions from the column '{draft.columns.question}', answers from '{draft.columns.answer}'"
    report.facts[:0] = [columns, f"answers are {KINDS[draft.kind]}", f"tokens of an answer: at most {longest}"]
    if draft.labels:
        report.facts[1] += f": {', '.join(draft.labels)}"
    for twins in draft.twins:
        report.remarks.append(f"labels that differ in case or spacing alone count as different: {twins}")
    if draft.free:
        report.remarks.append("the answers are long texts, which no reply meets letter by letter: change the scorer")
    if room >= reader.window:
        report.problem(f"answers of {longest} tokens leave no room for a question in a window of {reader.window}")
    if _reported(task, report):
        print(f"\nNothing was written: mend the data, then run this again for {target}.")
        return 1
    write(target, draft.text.encode())
    model = {"model": options.model} if options.model != MODEL else {}
    cut = {size: len(task.split("validation" if size == "validation_size" else "test")) for size in SPLITS}
    settings = model | {size: n for size, n in cut.items() if n < sizes[size]} | given
    made = first_recipe(
        options.name, draft.spec, kind=draft.kind, labels=draft.labels, room=room, prompt=options.seed_instruction,
        settings=settings,
    )  # fmt: skip
    write(recipe, made.encode())
    print(f"\nWrote {target}, the scorer, and {recipe}, the recipe of a first try: both are yours to change.")
    print(f"To check it as that run will read it: {called()} tasks check --config {recipe}")
    print(f"Next ({how_long(room)}):")
    print(f"  {called()} train --config {recipe}")
    return 0


def _sizes(options: argparse.Namespace) -> dict[str, Any]:
    return {size: getattr(options, size) for size in SIZES}


def _examined(task: Task, reader: ModelReader) -> TaskReport:
    """Check a task, also against what the model's chat template can show."""
    from fastslow.tasks.check import check_task
    from fastslow.tasks.splits import SPLITS

    refused = {}
    for example in (e for split in SPLITS for e in task.split(split)):
        try:
            reader.prompt(example)
        except BadInput as problem:
            refused[example.id] = str(problem)
    report = check_task(task, tokens_of=lambda e: 0 if e.id in refused else reader.tokens(e), window=reader.window)
    for problem in refused.values():
        report.problem("the model's chat template cannot show an example", problem)
    return report


def _reported(task: Task, report: TaskReport) -> int:
    """Print what a check found, and return its exit code."""
    print(printable(task.name))
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


@dataclass(frozen=True)
class ModelReader:
    """Hold how a model reads a task under an empty instruction: the prompt of an example and its tokens, the length of
    an answer in tokens, and the model's window."""

    prompt: Callable[[Example], str]
    tokens: Callable[[Example], int]
    length: Callable[[str], int]
    window: int


def _reader(options: argparse.Namespace, task: Task) -> ModelReader:
    """Raise BadInput for a chat template that cannot show a question, or the task's tools."""
    from fastslow.contexts.context import seed_context
    from fastslow.contexts.rendering import render
    from fastslow.policy.chat import Chat, named
    from fastslow.policy.loading import load_tokenizer, model_window, resolve_model
    from fastslow.policy.tool_calls import with_tools

    source, trust = resolve_model(options.model), bool(options.trust_remote_code)
    tokenizer = load_tokenizer(source, trust_remote_code=trust)
    tools = getattr(task, "tools", None) or ()
    kwargs = with_tools(tokenizer, options.chat_template_kwargs, tools, options.template_date)
    chat = Chat(tokenizer, kwargs=kwargs, date=options.template_date)
    context = seed_context(options.seed_instruction)

    def prompt(example: Example) -> str:
        return chat.text(render(context, example, system_role=chat.system_role), named(example))

    def tokens(example: Example) -> int:
        return len(chat.ids(render(context, example, system_role=chat.system_role), named(example)))

    def length(answer: str) -> int:
        return len(tokenizer(answer, add_special_tokens=False)["input_ids"])

    return ModelReader(prompt, tokens, length, model_window(source, trust_remote_code=trust))
