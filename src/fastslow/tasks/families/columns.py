"""Say how a task names the columns of data whose columns have other names than ours."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.core.registry import LISTED
from fastslow.tasks.spec import format_spec, parse_spec

USUAL = {
    "question": ("question", "prompt", "problem", "query", "instruction", "input", "text"),
    "answer": ("answer", "solution", "gold", "target", "expected", "label", "output", "response", "completion"),
}
"""Names that published data sets give to the two columns, the likelier first."""

NAMELESS = re.compile(r"(Unnamed: \d+)?\s*")
"""Headers of the column of row numbers that pandas writes before the others."""

CLEARLY_LONGER = 2.0
"""Times the median length of answers that questions have where nothing else tells the two columns apart."""


def named_columns(
    task: str, rows: Sequence[tuple[int, Mapping[Any, Any]]], *, question: bool, answer: bool, optional: bool = True
) -> str:
    """Return what to say of data without a column `question`, or with nothing to score by: the columns that there are,
    and the whole name of a task that names those which it probably means.

    `question` and `answer` say whether that part is there, `optional` whether a scorer may do without answers.
    """
    columns = _columns(rows)
    missing = [part for part, there in (("question", question), ("answer", answer)) if not there]
    shown = ", ".join(quoted(column, 60) for column in columns[:LISTED]) + (", ..." if len(columns) > LISTED else "")
    spec, named = parse_spec(task), dict[str, str]()
    for part in missing:
        left = [column for column in columns if column not in named.values() and column != "id" and column not in USUAL]
        known = {column.lower(): column for column in left}
        guess = left[0] if left and len(left) <= len(missing) - len(named) else "COLUMN"
        likely = next((known[name] for name in USUAL[part] if name in known), guess if left else None)
        if likely is not None:
            named[part] = likely
    example = quoted(format_spec(spec.head, {**spec.params, **named}), 300)
    name = f" Name them, as in '{example}'." if len(named) == len(missing) else ""
    if "COLUMN" in named.values() and "question" in missing:
        name += " A question is one column: join several of them into one first."
    own = "" if answer or not optional else " A scorer of your own needs no answers: ?scorer=module:name."
    what = f"no column '{missing[0]}'" if missing != ["answer"] else "nothing to score with: no column 'answer'"
    others = f" and none '{missing[1]}'" if len(missing) > 1 else ""
    return f"task '{task}': {what}{others}; its columns are {shown}.{name}{own}"


def clear_columns(task: str, rows: Sequence[tuple[int, Mapping[Any, Any]]], given: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of question and answer, where these rows leave no doubt: those that are `given`, else the one
    called so, else the only one with a usual name, else the only one that is left, or, of two that are left, the longer
    texts as questions.

    Raises BadInput that names the columns in question.
    """
    columns = _columns(rows)
    found = {part: given.get(part) or (part if part in columns else "") for part in USUAL}
    if not found["question"] and "messages" in columns:
        found["question"] = "messages"
    for part in sorted(USUAL, key=lambda part: part == "question"):  # fewer columns are called like an answer
        taken = {*found.values(), *given.values(), "id", "split"}
        left = [column for column in columns if column not in taken]
        usual = [column for column in left if column.lower() in USUAL[part]]
        if not found[part] and len(usual) > 1:
            shown = ", ".join(quoted(column, 60) for column in usual[:LISTED])
            spec = parse_spec(task)
            example = quoted(format_spec(spec.head, {**spec.params, part: usual[0]}), 300)
            raise BadInput(f"task '{task}': which column is the {part}: {shown}? Name it, as in '{example}'.")
        found[part] = found[part] or (usual[0] if usual else "")
    for part in USUAL:
        left = [column for column in columns if column not in {*found.values(), *given.values(), "id", "split"}]
        if not found[part] and len(left) == 1 and all(found[other] for other in USUAL if other != part):
            found[part] = left[0]
    left = [column for column in columns if column not in {"id", "split"}]
    if not any(found.values()) and len(left) == 2:
        short, long = sorted(left, key=lambda column: _usual_length(rows, column))
        if _usual_length(rows, long) >= CLEARLY_LONGER * _usual_length(rows, short) > 0:
            found = {"question": long, "answer": short}
    if not all(found.values()):
        question, answer = bool(found["question"]), bool(found["answer"])
        raise BadInput(named_columns(task, rows, question=question, answer=answer, optional=False))
    return found


def _columns(rows: Sequence[tuple[int, Mapping[Any, Any]]]) -> list[str]:
    """Return the columns that have a name."""
    columns = dict.fromkeys(str(column) for _, row in rows for column in row)
    return [column for column in columns if not NAMELESS.fullmatch(column)]


def _usual_length(rows: Sequence[tuple[int, Mapping[Any, Any]]], column: str) -> float:
    """Return the median length of what stands in a column; 0 where nothing does."""
    lengths = [len(str(row[column])) for _, row in rows if row.get(column) not in (None, "")]
    return statistics.median(lengths) if lengths else 0.0
