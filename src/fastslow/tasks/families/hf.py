"""Make tasks from a data set: `hf:OWNER/NAME?question=problem&answer=solution&scorer=boxed`.

Columns and `scorer` are as for `jsonl:`. Where a folder or a file of that name exists, that is read instead of the hub.

    split      the split to take rows from, in datasets' own notation ("train", "train+test"); "train" without it
    config     the configuration, for data sets that have several

The rows of that split are cut into train, validation and test by content, as the rows of a file are.

    streaming=1        a data set larger than memory: rows are read one after another (see `streamed`)
    validation, test   with streaming: the splits that these rows come from, without `test` no test rows; else both come
                       from the head of the stream
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.types import Split
from fastslow.tasks.base import TASKS
from fastslow.tasks.families.rows import Columns, RowsTask
from fastslow.tasks.families.sources import load_hub, load_local, stream_rows
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.spec import coerce, format_spec

FAMILY = "hf"
COLUMNS = ("question", "answer", "id")
OPTIONS = ("scorer", "split", "config", "streaming", "validation", "test")
SPLITS_NAMED = ("split", "validation", "test")


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> RowsTask:
    """Make the task of `hf:REST?params`. A data set is not drawn, so `data_seed` has no effect."""
    name = format_spec(f"{FAMILY}:{rest}", params)
    for key in params:
        if key not in COLUMNS + OPTIONS:
            raise BadInput(f"task '{FAMILY}:{rest}' has no parameter '{key}'.{nearest(key, COLUMNS + OPTIONS)}")
    here = Path(rest).expanduser()
    if here.exists():
        if "config" in params:
            raise BadInput(f"task '{name}': a local file or folder has no configurations; leave 'config' out.")
        named = next((key for key in SPLITS_NAMED if key in params), None)
        if named is not None and here.is_file():
            raise BadInput(f"task '{name}': a file has no splits; leave '{named}' out.")
    # A column that happens to be called id or split means nothing until it is named.
    columns = Columns(params.get("question"), params.get("answer"), params.get("id", ""), split="")
    kind = f"{FAMILY}:{Path(rest).name if Path(rest).exists() else rest}"
    if _streams(name, params):
        return _streamed(rest, name, kind, params, columns, sizes)
    if here.exists():
        source = load_local(rest, name, params.get("split"))
    else:
        source = load_hub(rest, name, split=params.get("split", "train"), config=params.get("config"))
    return RowsTask(name, kind, source, columns=columns, scorer=params.get("scorer"), **sizes)


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


def _streamed(
    rest: str, name: str, kind: str, params: Mapping[str, str], columns: Columns, sizes: Mapping[str, int]
) -> StreamedTask:
    if "id" in params:
        raise BadInput(f"task '{name}': the rows of a stream are known by their numbers; leave 'id' out.")
    source = stream_rows(rest, name, split=params.get("split", "train"), config=params.get("config"))
    if "test" in params and "validation" not in params:
        raise BadInput(f"task '{name}': 'test' names a split and 'validation' does not; name both, or neither.")
    held_out: dict[Split, str] = {split: params[split] for split in ("validation", "test") if split in params}
    return StreamedTask(name, kind, source, columns=columns, scorer=params.get("scorer"), held_out=held_out, **sizes)
