"""Shorten task names for tables and terminals, tell the names in one text apart, and find the files in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from fastslow.core.errors import BadInput
from fastslow.tasks.spec import FILES, Spec, format_spec, parse_spec

OF_FILES = ("jsonl", "hf")
"""Families whose names are those of a file or folder."""

SEPARATOR = re.compile(
    rf",(?=\s*(?:[A-Za-z_][\w.]*|[^,:?=&]*(?:{'|'.join(map(re.escape, FILES))}))(?:[:?]|\s*(?:,|$)))"
)
"""The comma between two names."""

PATHS = ("path", "corpus")
"""Parameters that name a file or folder."""


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


def titles(tasks: Iterable[str]) -> dict[str, str]:
    """Return what a heading calls each task: those of files as `short_names` does, without folders and parameters; the
    names of others say what is asked, and stay whole."""
    short = short_names(tasks)
    return {task: name if _lenient(task).family in OF_FILES else task for task, name in short.items()}


def split_names(text: str) -> list[str]:
    """Split 'a,b?x=1,2' into a; b?x=1,2: a comma separates tasks only where a name follows, family and colon
    included, or the name of a file."""
    return [name.strip() for name in SEPARATOR.split(text) if name.strip()]


def with_paths(name: str, change: Callable[[str], str]) -> str:
    """Return a task's name with `change` applied to every file or folder in it; other names stay as they are spelled.

    Raises BadInput for what is no task's name.
    """
    spec = parse_spec(name)
    rest = change(spec.rest) if spec.family in OF_FILES and spec.rest else spec.rest
    # star_graph counts nodes by its `path`; the samples that come with fastslow are no file.
    files = {key for key, value in spec.params.items() if key in PATHS and not value.isdecimal() and value != "sample"}
    params = {key: change(value) if key in files else value for key, value in spec.params.items()}
    changed = rest != spec.rest or params != spec.params
    return format_spec(f"{spec.family}:{rest}" if spec.rest else spec.head, params) if changed else name


def _base(spec: Spec) -> str:
    """Return `products` for reasoning_gym:products and `sums` for jsonl:data/sums.jsonl."""
    name = (spec.rest or spec.head).rstrip("/").rpartition("/")[2]
    return name.removesuffix(".jsonl").removesuffix(".json") or spec.head


def _lenient(task: str) -> Spec:
    try:
        return parse_spec(task)
    except BadInput:  # the name stands in a damaged file, or belongs to a task of the user's
        return Spec(task, {})
