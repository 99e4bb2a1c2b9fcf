"""Make tasks from a data set: `hf:OWNER/NAME?question=problem&answer=solution&scorer=boxed`.

Columns and `scorer` are as for `jsonl:`. Where a folder or a file of that name exists, that is read instead of the hub.

    split      the split to take rows from, in datasets' own notation ("train", "train+test"); "train" without it
    config     the configuration, for data sets that have several

The rows of that split are cut into train, validation and test by content, as the rows of a file are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.tasks.base import TASKS
from fastslow.tasks.families.rows import Columns, RowsTask
from fastslow.tasks.families.sources import load_hub, load_local
from fastslow.tasks.spec import format_spec

FAMILY = "hf"
COLUMNS = ("question", "answer", "id")
OPTIONS = ("scorer", "split", "config")


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> RowsTask:
    """Make the task of `hf:REST?params`. A data set is not drawn, so `data_seed` has no effect."""
    name = format_spec(f"{FAMILY}:{rest}", params)
    for key in params:
        if key not in COLUMNS + OPTIONS:
            raise BadInput(f"task '{FAMILY}:{rest}' has no parameter '{key}'.{nearest(key, COLUMNS + OPTIONS)}")
    if Path(rest).expanduser().exists():
        if "config" in params:
            raise BadInput(f"task '{name}': a local file or folder has no configurations; leave 'config' out.")
        if "split" in params and Path(rest).expanduser().is_file():
            raise BadInput(f"task '{name}': a file has no splits; leave 'split' out.")
        source = load_local(rest, name, params.get("split"))
    else:
        source = load_hub(rest, name, split=params.get("split", "train"), config=params.get("config"))
    # A column that happens to be called id or split means nothing until it is named.
    columns = Columns(params.get("question"), params.get("answer"), params.get("id", ""), split="")
    kind = f"{FAMILY}:{Path(rest).name if Path(rest).exists() else rest}"
    return RowsTask(name, kind, source, columns=columns, scorer=params.get("scorer"), **sizes)
