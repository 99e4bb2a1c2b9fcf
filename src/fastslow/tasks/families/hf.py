"""Make tasks from a data set: `hf:OWNER/NAME?question=problem&answer=solution&scorer=boxed`.

Columns and `scorer` are as for `jsonl:`. Where a file or folder of that name exists, that is read instead of the hub.

    split      of a file: the column that divides its rows, as for `jsonl:` ("split" without it, "" for none); of a
               folder or of the hub: the split to take rows from, in datasets' own notation ("train" without it)
    config     the configuration, for data sets that have several

Rows of a folder or of the hub that say train, validation or test in a column `split` are divided by it as well. All
other rows are cut into train, validation and test by content, as the rows of a file are.

    streaming=1        a data set larger than memory: rows are read one after another (see `streamed`)
    validation, test   with streaming: the splits that these rows come from, without `test` no test rows; else both come
                       from the head of the stream
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.types import Split
from fastslow.tasks.base import TASKS
from fastslow.tasks.families.rows import Columns, Rows, RowsTask
from fastslow.tasks.families.sources import READERS, load_hub, load_local, stream_rows
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.spec import coerce, format_spec
from fastslow.tasks.splits import SPLITS

logger = logging.getLogger(__name__)

FAMILY = "hf"
COLUMNS = ("question", "answer", "id")
OPTIONS = ("scorer", "split", "config", "streaming", "validation", "test")
DIVIDES = "split"
"""The column that divides rows where no other one is named, as for `jsonl:`."""


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> RowsTask:
    """Make the task of `hf:REST?params`. A data set is not drawn, so `data_seed` has no effect."""
    name = format_spec(f"{FAMILY}:{rest}", params)
    kind = _kind(rest, params, name)
    if _streams(name, params):
        return _streamed(rest, name, kind, params, sizes)
    source, columns = read(rest, params, name)
    return RowsTask(name, kind, source, columns=columns, scorer=params.get("scorer"), **sizes)


def read(rest: str, params: Mapping[str, str], name: str) -> tuple[Rows, Columns]:
    """Return all rows of `hf:REST?params`, and what the parameters say of its columns. Raises BadInput for what cannot
    be read, naming the task `name`."""
    _kind(rest, params, name)
    place = Path(rest).expanduser()
    if place.is_file():
        source, split = load_local(rest, name), params.get("split")
        if split and not any(split in row for _, row in source.rows):
            columns = {str(column) for _, row in source.rows for column in row}
            raise BadInput(
                f"task '{name}': a file has no splits but those that a column says, and no row has the column "
                f"'{split}'.{nearest(split, columns)}"
            )
    else:
        if place.exists():
            source = load_local(rest, name, params.get("split"))
        else:
            source = load_hub(rest, name, split=params.get("split", "train"), config=params.get("config"))
        split = DIVIDES if _divides(source, name) else ""
    # A column that happens to be called id means nothing until it is named.
    return source, Columns(params.get("question"), params.get("answer"), params.get("id", ""), split)


def _kind(rest: str, params: Mapping[str, str], name: str) -> str:
    """Return what the ids of examples are made from. Raises BadInput for parameters and names that cannot be meant."""
    for key in params:
        if key not in COLUMNS + OPTIONS:
            raise BadInput(f"task '{FAMILY}:{rest}' has no parameter '{key}'.{nearest(key, COLUMNS + OPTIONS)}")
    place = Path(rest).expanduser()
    if not place.exists() and place.suffix.lower() in READERS:  # or a slip in a path would ask the hub for a data set
        raise BadInput(f"task '{name}': there is no file '{rest}'.")
    if place.exists() and "config" in params:
        raise BadInput(f"task '{name}': a local file or folder has no configurations; leave 'config' out.")
    return f"{FAMILY}:{place.name if place.exists() else rest}"


def _streams(name: str, params: Mapping[str, str]) -> bool:
    """Return whether the rows are to be streamed. Raises BadInput for what belongs to streaming without it."""
    try:
        asked = coerce(params.get("streaming", "0"), bool)
    except ValueError as error:
        raise BadInput(f"task '{name}': streaming must be {error}.") from None
    named = next((key for key in ("validation", "test") if key in params), None)
    if named is not None and not asked:
        raise BadInput(f"task '{name}': '{named}' names a split of a stream; add streaming=1, or leave it out.")
    return asked


def _streamed(rest: str, name: str, kind: str, params: Mapping[str, str], sizes: Mapping[str, int]) -> StreamedTask:
    if "id" in params:
        raise BadInput(f"task '{name}': the rows of a stream are known by their numbers; leave 'id' out.")
    named = next((key for key in ("split", "validation", "test") if key in params), None)
    if named is not None and Path(rest).expanduser().is_file():
        raise BadInput(f"task '{name}': a file that is streamed has no splits; leave '{named}' out.")
    columns = Columns(params.get("question"), params.get("answer"), id="", split="")
    source = stream_rows(rest, name, split=params.get("split", "train"), config=params.get("config"))
    if "test" in params and "validation" not in params:
        raise BadInput(f"task '{name}': 'test' names a split and 'validation' does not; name both, or neither.")
    held_out: dict[Split, str] = {split: params[split] for split in ("validation", "test") if split in params}
    return StreamedTask(name, kind, source, columns=columns, scorer=params.get("scorer"), held_out=held_out, **sizes)


def _divides(source: Rows, task: str) -> bool:
    """Return whether the rows say in a column of their own which split they belong to. Where they differ in something
    else, a warning says that the column is not used."""
    said = {str(row.get(DIVIDES)) for _, row in source.rows}
    if said <= set(SPLITS) and {"train", "validation"} <= said:
        return True
    if len(said) > 1:
        logger.warning(
            "task '%s': the column '%s' is not used, as it does not say train, validation or test in every row; the "
            "rows are divided by content.", *(task, DIVIDES),
        )  # fmt: skip
    return False
