"""Make tasks from a JSONL file of the user's: `jsonl:data/my.jsonl?scorer=my_package.my_module:score`.

Each line is a JSON object with these columns; a parameter such as `question=prompt` names another column:

    question   text, or a list of chat turns (then `messages` is looked for as well)
    answer     text or a number, for `json` and functions also a list or an object; optional where a function scores
    id         text or a whole number, unique; optional
    split      train, validation or test, on every row or on none; optional

`scorer` names a built-in scorer (docs/scorers.md) or, by dotted path, a function of the user's. Such a function is
called as `scorer(completion, row)` and returns a number in [0, 1], a pair of a number and a feedback text, or None
where it cannot judge. Without a scorer, the completion must equal the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.files import jsonl
from fastslow.tasks.base import TASKS
from fastslow.tasks.families.faults import BadRow, Faults
from fastslow.tasks.families.rows import DEFAULT, Columns, Rows, RowsTask, ScoringFunction
from fastslow.tasks.scoring import Scorer
from fastslow.tasks.spec import format_spec

FAMILY = "jsonl"


class JsonlTask(RowsTask):
    """Use the rows of a JSONL file as examples; see `RowsTask`. Raises BadInput for an unreadable file, too."""

    def __init__(
        self,
        path: str | Path,
        *,
        columns: Columns = DEFAULT,
        scorer: str | Scorer | ScoringFunction | None = None,
        **sizes: int | None,
    ):
        self.path = Path(path).expanduser()
        named = columns.named() | ({"scorer": scorer} if isinstance(scorer, str) else {})
        name = format_spec(f"{FAMILY}:{path}", named)
        source = read(self.path, name)
        super().__init__(name, f"{FAMILY}:{self.path.name}", source, columns=columns, scorer=scorer, **sizes)


def read(path: Path, task: str) -> Rows:
    """Return line numbers, counted from 1, and rows; blank lines are skipped. Raises BadInput naming the damaged
    lines."""
    faults = Faults(task, "line")

    def damaged(damage: jsonl.BadLine) -> None:
        repeated = isinstance(damage.__cause__, jsonl.RepeatedKey)
        mend = "keep one of them" if repeated else "write one object a line, in UTF-8"
        faults.add(BadRow(damage.number, damage.problem, f"; {mend}."))

    try:
        with path.open("rb") as file:
            rows = list(jsonl.objects(file, damaged, parse=jsonl.loads))
    except OSError as error:
        raise BadInput(f"task '{task}': cannot read '{path}' ({error.strerror}); give the path of a file.") from None
    faults.refuse()
    if not rows:
        raise BadInput(f"task '{task}': '{path}' is empty; write one JSON object a line.")
    return Rows(rows, "line")


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> JsonlTask:
    """Make the task of `jsonl:REST?params`. A file is not drawn, so `data_seed` has no effect."""
    return JsonlTask(rest, columns=columns_of(rest, params), scorer=params.get("scorer"), **sizes)


def columns_of(rest: str, params: Mapping[str, str]) -> Columns:
    """Return what the parameters of `jsonl:REST?params` say of the columns. Raises BadInput for a parameter that there
    is not."""
    columns = {part.name for part in fields(Columns)}
    for key in params:
        if key not in columns and key != "scorer":
            raise BadInput(f"task '{FAMILY}:{rest}' has no parameter '{key}'.{nearest(key, {*columns, 'scorer'})}")
    return Columns(**{key: value for key, value in params.items() if key in columns})
