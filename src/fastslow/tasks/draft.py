"""Draft a task from data of the user's (`fastslow tasks new`): columns, kind of answers, and a scorer to change.

A draft is made and tried before anything is written: what cannot be used raises BadInput and leaves nothing behind.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.core.registry import importable
from fastslow.tasks.answer_kinds import kind_of, twins_of
from fastslow.tasks.doubts import excerpt
from fastslow.tasks.families import hf, jsonl
from fastslow.tasks.families.columns import clear_columns
from fastslow.tasks.families.faults import SHOWN
from fastslow.tasks.families.reader import Columns, Reader, Rows, answer_text
from fastslow.tasks.families.rows import RowsTask
from fastslow.tasks.scoring import scorer_named
from fastslow.tasks.spec import FILES, format_spec, parse_spec

MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
FREE_CHARS = 60
"""Answers of the kind exact whose median is longer are hardly ever met letter by letter."""

SKELETONS = {"exact": "texts", "labels": "labels", "number": "read", "choice": "read", "json": "fields"}
"""Kind of answers -> the skeleton of its scorer."""
KINDS_OF_MANY = {
    "json": "JSON lists or objects", "number": "numbers", "choice": "letters of options", "labels": "short labels",
}  # fmt: skip
STRICT = {"number": "number", "choice": "choice", "json": "json"}
"""Kind of answers -> the built-in scorer that every answer has to suit; the others take any text."""


@dataclass(frozen=True)
class Draft:
    """Hold what was found in the data, and the text of the scorer's file `name`.py.

    `spec` names the task with that scorer, `answers` are the right ones as texts, `labels` all different ones where
    they are few.
    """

    name: str
    spec: str
    kind: str
    columns: Columns
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    text: str
    source: Rows

    def task(self, *, data_seed: int = 0, **sizes: int | None) -> RowsTask:
        """Return the task as it will be, its scorer taken from the text that is not a file yet. Data are not drawn, so
        `data_seed` has no effect. Raises BadInput."""
        made: dict[str, Any] = {"__name__": self.name}
        exec(compile(self.text, f"{self.name}.py", "exec"), made)
        return RowsTask(self.spec, self.name, self.source, columns=self.columns, scorer=made["score"], **sizes)

    @property
    def twins(self) -> list[str]:
        """The labels that differ in case, spaces or the form of characters alone, with how often each stands."""
        return twins_of(self.labels, self.answers)

    @property
    def free(self) -> bool:
        """Whether the answers are texts that will hardly be met letter by letter."""
        lengths = sorted(map(len, self.answers))
        return self.kind == "exact" and lengths[len(lengths) // 2] > FREE_CHARS


def draft_task(name: str, source: str) -> Draft:
    """Return the draft of the task `name` from a file or data set, named as tasks are: `data.csv`,
    `hf:OWNER/NAME?question=problem&answer=solution`.

    Raises BadInput for a name that cannot be a module of its own, and for data that no task can be made of.
    """
    check_name(name)
    spec = parse_spec(source)
    if "scorer" in spec.params:
        raise BadInput(f"--from '{source}': leave 'scorer' out, as one is written; name the data and its columns.")
    if "streaming" in spec.params:
        raise BadInput(f"--from '{source}': draft it from a part that fits into memory, and stream in the run.")
    for part in ("question", "answer"):
        if spec.params.get(part) == "":
            raise BadInput(f"--from '{source}': name the column of the {part}, as in '{part}=COLUMN', or leave it out.")
    if not source.isprintable():
        raise BadInput(f"--from '{source}' has a character that cannot be shown; rename the file.")
    full = format_spec(spec.head, spec.params)
    rows, columns = _rows(spec.family, spec.rest, spec.params, full)
    if not rows.rows:
        raise BadInput(f"task '{full}' has no rows.")
    given = {part: value for part, value in columns.named().items() if part in ("question", "answer")}
    found = clear_columns(full, rows.rows, given)
    columns = replace(columns, question=found["question"], answer=found["answer"])
    read = ((number, answer_text(row.get(found["answer"]), structured=True)) for number, row in rows.rows)
    places = [(number, text) for number, text in read if text is not None]
    answers = tuple(text for _, text in places)
    kind, labels, odd = kind_of(answers)
    if odd:
        raise BadInput(_odd_ones(full, kind, answers, [places[place] for place in odd], rows.place))
    judge = scorer_named(STRICT[kind], full) if kind in STRICT else None
    Reader(full, columns, rows, judge=judge, scored=False).candidates()  # refuses rows that cannot be used
    said = {part: column for part, column in found.items() if column not in (part, "messages")}
    head = source.strip().partition("?")[0]
    return Draft(
        name=name,
        spec=format_spec(head, {**spec.params, **said, "scorer": f"{name}:score"}),
        kind=kind,
        columns=columns,
        labels=labels,
        answers=answers,
        text=_filled(kind, found["answer"], labels),
        source=rows,
    )


def check_name(name: str) -> None:
    """Raise BadInput unless a file `name`.py in this folder would be a module that hides no other one."""
    if not MODULE.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise BadInput(
            f"'{quoted(name, 80)}' cannot be the name of a Python file; take up to 64 letters, digits and underscores, "
            "as in support_tickets."
        )
    if Path(f"{name}.py").is_symlink() or Path(f"{name}.py").exists():
        raise BadInput(f"'{name}.py' exists already; take another name, or remove it.")
    if importable(name):
        raise BadInput(f"there is a module '{name}' already, which '{name}.py' would hide; take another name.")


def _odd_ones(task: str, kind: str, answers: Sequence[str], odd: Sequence[tuple[int, str]], place: str) -> str:
    """Say which answers are unlike all others, and how to mend that."""
    what = KINDS_OF_MANY[kind]
    if kind == "json" and all(text.lstrip()[:1] == "{" for text in set(answers) - {text for _, text in odd}):
        what = "JSON objects"
    shown = ", ".join(str(number) for number, _ in odd[:SHOWN]) + (" and more" if len(odd) > SHOWN else "")
    which, them = (f"{place}s {shown} are", "them") if len(odd) > 1 else (f"{place} {shown} is", "it")
    return (
        f"task '{task}': {len(answers) - len(odd)} of {len(answers)} answers are {what}; {which} not "
        f"({excerpt(odd[0][1])}). Mend or remove {them}. If any text may be an answer, draft nothing and train with "
        "the scorer exact, as in '?scorer=exact'."
    )


def room_for(tokens: int) -> int:
    """Return a `max_completion_length` for answers of up to this many tokens: a quarter more and 4, in steps of 8."""
    return -(-(tokens * 5 + 16) // 32) * 8


def _rows(family: str, rest: str, params: Mapping[str, str], name: str) -> tuple[Rows, Columns]:
    if family == jsonl.FAMILY:
        return jsonl.read(Path(rest).expanduser(), name), jsonl.columns_of(rest, params)
    if family == hf.FAMILY:
        return hf.read(rest, params, name)
    endings = ", ".join(FILES)
    raise BadInput(f"--from '{name}' is not data; name a file ({endings}) or a data set of the hub (hf:OWNER/NAME).")


def _filled(kind: str, answer: str, labels: Sequence[str]) -> str:
    """Return the skeleton with its capitals filled in. What the data says stands in it as Python literals alone."""
    text = (resources.files("fastslow.tasks.skeletons") / f"{SKELETONS[kind]}.py").read_text(encoding="utf-8")
    shown = "".join(f"    {_literal(label)},\n" for label in labels)
    filled = {"ANSWER": _literal(answer), "LABELS": f"(\n{shown})", "KIND": _literal(kind)}
    return re.sub(r"^(ANSWER|LABELS|KIND) = .*$", lambda found: f"{found[1]} = {filled[found[1]]}", text, flags=re.M)


def _literal(text: str) -> str:
    """Return a Python literal of one line, whatever the text holds; in double quotes where all of it can be shown."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else ascii(text)
