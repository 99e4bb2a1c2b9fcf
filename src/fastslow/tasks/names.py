"""Shorten task names for tables and terminals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fastslow.core.errors import BadInput
from fastslow.tasks.spec import Spec, format_spec, parse_spec


def short_names(tasks: Iterable[str]) -> dict[str, str]:
    """Return a short name for each task: its name without family, folder and parameters.

    Where several short names would be equal, each keeps the parameters that the tasks do not share; where the names are
    equal even then, each task keeps its whole name.
    """
    specs = {task: _lenient(task) for task in tasks}
    bases = {task: _base(spec) for task, spec in specs.items()}
    short = {}
    for task, spec in specs.items():
        alike = [specs[other] for other, base in bases.items() if base == bases[task]]
        own = {k: v for k, v in spec.params.items() if any(other.params.get(k) != v for other in alike)}
        short[task] = format_spec(bases[task], own)
    counts = Counter(short.values())
    return {task: name if counts[name] == 1 else task for task, name in short.items()}


def _base(spec: Spec) -> str:
    """Return `products` for reasoning_gym:products and `sums` for jsonl:data/sums.jsonl."""
    name = (spec.rest or spec.head).rstrip("/").rpartition("/")[2]
    return name.removesuffix(".jsonl").removesuffix(".json") or spec.head


def _lenient(task: str) -> Spec:
    try:
        return parse_spec(task)
    except BadInput:  # the name stands in a damaged file, or belongs to a task of the user's
        return Spec(task, {})
