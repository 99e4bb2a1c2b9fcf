"""Say how a task names the columns of data whose columns have other names than ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastslow.core.errors import quoted
from fastslow.core.registry import LISTED
from fastslow.tasks.spec import format_spec, parse_spec

USUAL = {
    "question": ("question", "prompt", "problem", "query", "instruction", "input", "text"),
    "answer": ("answer", "solution", "gold", "target", "expected", "label", "output", "response", "completion"),
}
"""Names that published data sets give to the two columns, the likelier first."""


def named_columns(task: str, rows: Sequence[tuple[int, Mapping[Any, Any]]], *, question: bool, answer: bool) -> str:
    """Return what to say of data without a column `question`, or with nothing to score by: the columns that there are,
    and the whole name of a task that names those which it probably means.

    `question` and `answer` say whether that part is there.
    """
    columns = list(dict.fromkeys(str(column) for _, row in rows for column in row))
    missing = [part for part, there in (("question", question), ("answer", answer)) if not there]
    shown = ", ".join(quoted(column, 60) for column in columns[:LISTED]) + (", ..." if len(columns) > LISTED else "")
    spec, named = parse_spec(task), dict[str, str]()
    for part in missing:
        left = [column for column in columns if column not in named.values() and column != "id" and column not in USUAL]
        known = {column.lower(): column for column in left}
        likely = next((known[name] for name in USUAL[part] if name in known), left[0] if left else None)
        if likely is not None:
            named[part] = likely
    example = quoted(format_spec(spec.head, {**spec.params, **named}), 300)
    name = f" Name them, as in '{example}'." if len(named) == len(missing) else ""
    own = "" if answer else " A scorer of your own needs no answers: ?scorer=module:name."
    what = f"no column '{missing[0]}'" if missing != ["answer"] else "nothing to score with: no column 'answer'"
    others = f" and none '{missing[1]}'" if len(missing) > 1 else ""
    return f"task '{task}': {what}{others}; its columns are {shown}.{name}{own}"
