"""Read the rows of a data set from a file, from a folder, or from the Hugging Face hub.

    .jsonl .json .csv .parquet     read directly
    a folder                       as `datasets` saved it, or with files that `datasets` recognises
    OWNER/NAME                     downloaded by `datasets`, or taken from its cache (but for CSV, see `csv_files`)

The task that reads the rows checks their columns, so that a message names the task.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.files.jsonl import RepeatedKey, loads
from fastslow.tasks.families import csv_files, jsonl, row_files
from fastslow.tasks.families.faults import BadRow, Faults, one_line
from fastslow.tasks.families.rows import Row, Rows
from fastslow.tasks.families.streamed import Source

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SAMPLE = "sample"
OFFLINE = "offline, give a file that was downloaded before"


def load_public(
    task: str,
    params: Mapping[str, str],
    *,
    hub: str,
    split: str,
    columns: Sequence[str],
    sample: Callable[[], list[Row]],
) -> Rows:
    """Read the rows of a public data set: from `path` where it is given, our own for `path=sample`, else from the hub.

    Raises BadInput as well for a row that lacks one of the `columns`.
    """
    path = params.get("path")
    if path == SAMPLE:
        return _numbered(sample())
    if path is None:
        source = load_hub(
            hub, task, split=split, config=params.get("config"), offline=f"{OFFLINE} as ?path=FILE, or use ?path=sample"
        )
    elif "config" in params:
        raise BadInput(f"task '{task}': a local file or folder has no configurations; leave 'config' out.")
    else:
        source = load_local(path, task, split)
    faults = Faults(task, source.place, source.numbering)
    for number, row in source.rows:
        column = next((column for column in columns if column not in row), None)
        if column is not None:
            hint = f".{nearest(column, map(str, row))} Rows as in {hub} have {', '.join(columns)}."
            faults.add(BadRow(number, f"has no column '{column}'", hint))
    faults.refuse()
    return source


def keep(source: Rows, task: str, convert: Callable[[Row], Row | str]) -> Rows:
    """Convert rows; where `convert` returns a text, that text is the reason why the row is left out.

    Raises BadInput where nothing is left.
    """
    usable, dropped = [], Counter[str]()
    for number, row in source.rows:
        converted = convert(row)
        if isinstance(converted, str):
            dropped[converted] += 1
        else:
            usable.append((number, converted))
    if not usable:
        reasons = "; ".join(f"{count} {reason}" for reason, count in dropped.most_common(3))
        raise BadInput(f"task '{task}': none of {len(source.rows)} rows can be used: {reasons}.")
    return Rows(usable, source.place, dict(dropped), source.numbering)


def check_params(params: Mapping[str, str], known: Sequence[str], rest: str, family: str) -> None:
    """Raise BadInput for a parameter that `family` does not know, and for text behind a colon."""
    if rest:
        raise BadInput(
            f"task '{family}:{rest}': '{family}' is one task; write {family}?path=FILE for a file of its rows."
        )
    for key in params:
        if key not in known:
            raise BadInput(f"task '{family}' has no parameter '{key}'.{nearest(key, known)}")


def load_local(path: str, task: str, split: str | None = None) -> Rows:
    """Read the rows of a file, or of one split of a folder. Raises BadInput for what cannot be read."""
    place = Path(path).expanduser()
    if not place.exists():
        raise BadInput(f"task '{task}': there is no '{path}'; give the path of a file or a folder.")
    if place.is_dir():
        return _load_folder(place, task, split or "train")
    reader = READERS.get(place.suffix.lower())
    if reader is None:
        raise BadInput(
            f"task '{task}': cannot read '{place.name}' by its ending.{nearest(place.suffix, READERS)} "
            "Save it as one of these."
        )
    try:
        source = reader(place, task)
    except OSError as error:
        raise BadInput(f"task '{task}': cannot read '{path}' ({error.strerror or one_line(error)}).") from None
    if not source.rows:
        raise BadInput(f"task '{task}': '{path}' has no rows.")
    return source


def load_hub(name: str, task: str, *, split: str, config: str | None = None, offline: str = OFFLINE) -> Rows:
    """Read the rows of one split of a data set of the hub. Raises BadInput saying what failed and what to do
    offline."""
    if not HUB_NAME.fullmatch(name):
        raise BadInput(f"task '{task}': '{name}' is neither a file or folder here nor a name OWNER/NAME of the hub.")
    try:
        return _loaded(name, task, split, config=config)
    except BadInput:
        raise
    except Exception as error:  # network, hub, formats and names each have exceptions of their own
        raise BadInput(
            f"task '{task}': cannot load split '{split}' of '{name}' from the hub ({one_line(error)}); {offline}."
        ) from error


def stream_rows(place: str, task: str, *, split: str, config: str | None = None) -> Source:
    """Return what reads the rows of a file, a folder or a data set of the hub one after another, from any row on.

    Raises BadInput for a file that cannot be streamed; what else is wrong shows when the first row is read.
    """
    path = Path(place).expanduser()
    if path.is_file():
        if not row_files.readable([str(path)]):
            endings = ", ".join(row_files.READERS)
            raise BadInput(f"task '{task}': '{path.name}' cannot be streamed; save it as one of {endings}.")
        return lambda named, skip: row_files.read_rows([str(path)], skip)
    if not path.is_dir() and not HUB_NAME.fullmatch(place):
        raise BadInput(f"task '{task}': '{place}' is neither a file or folder here nor a name OWNER/NAME of the hub.")
    builder = str(path) if path.is_dir() else place

    def read(named: str | None, skip: int) -> Iterator[Row]:
        import datasets

        wanted = named or split
        found = datasets.load_dataset_builder(builder, name=config)
        if csv_files.is_csv(found):  # of which `datasets` guesses the kinds of cells, block by block
            raise BadInput(
                f"task '{task}': the CSV files of '{place}' cannot be streamed; leave streaming=1 out, or save the "
                "rows as .parquet or .jsonl."
            )
        paths = [str(file) for file in (found.config.data_files or {}).get(wanted, ())]
        if row_files.readable(paths):
            yield from row_files.read_rows(paths, skip)
            return
        rows: Any = datasets.load_dataset(builder, name=config, split=wanted, streaming=True)
        yield from (rows.skip(skip) if skip else rows)

    return read


def _loaded(place: str, task: str, split: str, *, config: str | None = None, cache: str | None = None) -> Rows:
    """Read a split of what `datasets` finds in a folder or on the hub."""
    import datasets

    builder = datasets.load_dataset_builder(place, config, cache_dir=cache)
    if csv_files.is_csv(builder):
        return _numbered(csv_files.read_split(builder, task, split, cache))
    source: Any = datasets.load_dataset(place, config, split=split, cache_dir=cache)
    return _numbered(source.to_list())


def _load_folder(folder: Path, task: str, split: str) -> Rows:
    import datasets

    saved = any((folder / name).exists() for name in ("dataset_dict.json", "state.json"))
    try:
        if saved:
            source: Any = datasets.load_from_disk(str(folder))
            if isinstance(source, datasets.DatasetDict):
                if split not in source:
                    raise BadInput(
                        f"task '{task}': '{folder}' has no split '{split}'.{nearest(split, map(str, source))}"
                    )
                source = source[split]
            return _numbered(source.to_list())
        with tempfile.TemporaryDirectory() as cache:  # the user's file may change; the rows are kept and no copy is
            return _loaded(str(folder), task, split, cache=cache)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(
            f"task '{task}': cannot load split '{split}' of '{folder}' ({one_line(error)}); it should "
            "be a file of rows (.csv, .jsonl, .parquet) or a folder with one for each split."
        ) from error


def _read_json(path: Path, task: str) -> Rows:
    """Read a list of objects, or one object a line."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        source = loads(text)
    except RepeatedKey as error:
        if text.lstrip()[:1] != "[":
            return jsonl.read(path, task)
        raise BadInput(
            f"task '{task}': row {_row_that_repeats(text)} of '{path.name}' has {error}; keep one of them."
        ) from None
    except UnicodeDecodeError:
        if path.read_bytes().lstrip()[:1] != b"[":
            return jsonl.read(path, task)
        raise BadInput(f"task '{task}': '{path.name}' is not in UTF-8; save it as UTF-8.") from None
    except (ValueError, RecursionError):
        return jsonl.read(path, task)  # which names the wrong line
    if not isinstance(source, list):
        return jsonl.read(path, task)
    faults = Faults(task, "row")
    for number, row in enumerate(source, start=1):
        if not isinstance(row, dict):
            faults.add(BadRow(number, f"of '{path.name}' is not an object", "; write a list of objects."))
    faults.refuse()
    return _numbered(source)


def _row_that_repeats(text: str) -> int:
    """Return the number of the first row of a JSON list that has a key twice."""
    decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 1
    while True:
        at = re.compile(r"[\s,]*").match(text, at).end()  # type: ignore[union-attr]
        _, end = decoder.raw_decode(text, at)
        try:
            loads(text[at:end])
        except RepeatedKey:
            return number
        at, number = end, number + 1


def _read_parquet(path: Path, task: str) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        csv_files.check_columns(parquet.read_schema(path).names, path.name, task)
        return _numbered(parquet.read_table(path).to_pylist())
    except BadInput:
        raise
    # Values may be of any kind: text that is not UTF-8, times of a zone that nobody knows (KeyError).
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise BadInput(
            f"task '{task}': '{path.name}' is not a Parquet file that can be read ({one_line(error)})."
        ) from None


READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".jsonl": jsonl.read,
    ".json": _read_json,
    ".csv": csv_files.read,
    ".parquet": _read_parquet,
}


def _numbered(rows: list[Row]) -> Rows:
    return Rows(list(enumerate(rows, start=1)))
