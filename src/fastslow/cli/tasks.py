"""`fastslow tasks`: what can be trained on, and what one task looks like to a model."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .eval import Parser, _positive


def run(argv: Sequence[str]) -> int:
    """List every task name, or show one task's examples, answers and verdicts."""
    parser = Parser(
        prog="fastslow tasks", description="List tasks, or show examples of one with its scorer's verdicts."
    )
    parser.add_argument("name", nargs="?", help="e.g. 'reasoning_gym:products?max_terms=2'; without it, all are listed")
    parser.add_argument("--examples", type=_positive, default=3, help="how many to show (default 3)")
    options = parser.parse_args(list(argv))
    from ..tasks import list_tasks, resolve_task

    console = Console()
    if options.name is None:
        if not console.is_terminal:  # whole names for whoever greps
            for name, text in list_tasks():
                print(f"{name}\t{text}")
            return 0
        table = Table("task", "what it asks")
        for name, text in list_tasks():
            table.add_row(escape(name), escape(text))
        console.print(table)
        return 0
    task = resolve_task(options.name, train_size=50, validation_size=10, test_size=10, data_seed=0)
    sizes = ", ".join(f"{len(task.split(split))} {split}" for split in ("train", "validation", "test"))
    console.print(escape(f"{task.name}: {sizes} (of a small draw)"), highlight=False, soft_wrap=True)
    for example in task.split("train")[: options.examples]:
        answer = task.answer(example)
        console.rule(escape(example.id))
        console.print(escape(example.question), highlight=False)
        for title, text in (("right answer", answer), ("empty answer", ""), ("wrong answer", "I do not know.")):
            if text is None:
                console.print(f"{title}: none known", highlight=False)
                continue
            verdict = task.score(example, text)
            reward = "unscored" if verdict.reward is None else f"reward {verdict.reward:g}"
            console.print(escape(f"{title} {text!r}: {reward}. {verdict.feedback}"), highlight=False, soft_wrap=True)
    return 0
