"""Read CSV files cell by cell as they are written: `007`, `NA` and `None` stay texts; no row is shifted or filled up.

`datasets` reads CSV by pandas, which guesses what cells are, takes the first column for an index where a row has one
field too many, and fills up a row that has one too few. So of a folder and of a data set of the hub `datasets` only
says which files belong to which split.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.tasks.families.faults import BadRow, Faults, one_line
from fastslow.tasks.families.reader import Row, Rows

BELOW_HEADER = "Row 1 is the first below the header."
SEPARATORS = {",": ("commas", "a comma"), ";": ("semicolons", "a semicolon"), "\t": ("tabs", "a tab"),
              "|": ("vertical bars", "a vertical bar")}  # fmt: skip
"""What may separate the columns of a file -> how messages name all of them and one of them."""


def read(path: Path, task: str) -> Rows:
    """Read a file with a header and commas. Raises BadInput for what is not CSV, and naming the rows that have more or
    fewer fields than the header."""
    return Rows(list(enumerate(_read(path, path.name, task), start=1)), numbering=BELOW_HEADER)


def is_csv(builder: Any) -> bool:
    """Return whether a builder of `datasets` reads CSV files, or what `datasets` kept of such a reading."""
    return builder.info.builder_name == "csv"


def read_split(builder: Any, task: str, split: str, cache: str | None = None) -> list[Row]:
    """Read one split of what such a builder found, or a slice or sum of splits as `datasets` writes it.

    `cache` is the folder for what is downloaded or unpacked; None: that of `datasets`. Raises BadInput as `read` does,
    and where the CSV files are not at hand or have to be read in another way.
    """
    import datasets

    separator = _separator(builder.config, task)
    rows = {
        str(name): [row for path, shown in _local(files, cache) for row in _read(path, shown, task, separator)]
        for name, files in builder.config.data_files.items()
    }
    wanted: Any = datasets.ReadInstruction.from_spec("+".join(rows) if split == "all" else split)
    return [row for one in wanted.to_absolute({n: len(r) for n, r in rows.items()})
            for row in rows[one.splitname][one.from_ : one.to]]  # fmt: skip


def check_columns(names: Iterable[str], shown: str, task: str) -> None:
    """Raise BadInput for a column that stands twice: only one of them would be read."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise BadInput(f"task '{task}': '{shown}' has the column '{twice}' twice; rename one or take it out.")


def _local(files: Sequence[Any], cache: str | None) -> Iterator[tuple[Path, str]]:
    """Yield files that are here, downloaded and unpacked where they are not, and how messages name each of them."""
    import datasets

    manager: Any = datasets.DownloadManager(download_config=datasets.DownloadConfig(cache_dir=cache))
    for file in map(str, files):
        place = Path(manager.download_and_extract(file))
        if place.is_dir():  # an archive
            yield from ((Path(path), Path(path).name) for path in manager.iter_files(str(place)))
        else:
            yield place, PurePosixPath(file).name


def _separator(config: Any, task: str) -> str:
    """Return what separates columns. Raises BadInput where the data set's README asks for more than another separator,
    and where `datasets` only has the rows that it once made of the files."""
    from datasets.packaged_modules.csv.csv import CsvConfig

    if not isinstance(config, CsvConfig):
        raise BadInput(
            f"task '{task}': the hub cannot be reached, and the copy of its CSV files that `datasets` kept no longer "
            "has the cells as they were written; give a file that was downloaded before."
        )
    usual = CsvConfig(sep=config.sep).pd_read_csv_kwargs
    asked = config.pd_read_csv_kwargs
    odd = [option for option in asked if asked[option] != usual.get(option)]
    if odd or len(config.sep) != 1:
        raise BadInput(
            f"task '{task}': its README says to read the CSV files with {', '.join(odd or ['sep'])}, which is not "
            "known here; save the rows with a header and commas, and give that file."
        )
    return config.sep


def _read(path: Path, shown: str, task: str, separator: str = ",") -> list[Row]:
    # Fields of more than 131,072 characters are refused by default; the limit belongs to the whole process.
    before = csv.field_size_limit(max(path.stat().st_size, csv.field_size_limit()))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter=separator)
            header = reader.fieldnames or ()
            _check_separator(header, shown, task, separator)
            check_columns(header, shown, task)
            rows: list[Any] = list(reader)
    except UnicodeDecodeError:
        raise BadInput(f"task '{task}': '{shown}' is not in UTF-8; save it as UTF-8.") from None
    except csv.Error as error:
        raise BadInput(f"task '{task}': '{shown}' is not CSV ({one_line(error)}).") from None
    finally:
        csv.field_size_limit(before)
    mark = SEPARATORS[separator][1] if separator in SEPARATORS else f"'{separator}'"
    faults = Faults(task, "row", BELOW_HEADER)
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            # DictReader puts fields past the header under None, and None where the row lacks a field.
            fields = sum(value is not None for value in row.values()) + len(row.get(None) or [None]) - 1
            what = f"of '{shown}' has {fields} field{'s' * (fields != 1)} and the header {len(header)}"
            faults.add(BadRow(number, what, f"; put fields with {mark}, a quote or a line end into double quotes."))
    faults.refuse()
    return rows


def _check_separator(header: Sequence[str], shown: str, task: str, separator: str) -> None:
    """Raise BadInput for a file whose columns are separated by something else than `separator`."""
    others = (mark for mark in SEPARATORS if mark != separator and mark in "".join(header))
    if len(header) == 1 and (other := next(others, None)):
        there, wanted = (SEPARATORS[mark][0] if mark in SEPARATORS else f"'{mark}'" for mark in (other, separator))
        raise BadInput(f"task '{task}': the columns of '{shown}' are separated by {there}; save it with {wanted}.")
