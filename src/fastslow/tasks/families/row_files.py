"""Read the rows of Parquet and JSONL files one after another, from any row on, in memory that does not grow.

`datasets` can stream such files too. Of a Parquet file of 900 MB it kept 1.5 GB in memory, and it reads every row that
it skips; here whole row groups are passed over unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fastslow.files import jsonl
from fastslow.tasks.families.reader import Row

BATCH = 1024
"""Rows of a Parquet file that are made Python values at a time."""
BUFFER = 2**20

Reading = Callable[[BinaryIO, int], tuple[Iterator[Row], int]]
"""`read(file, skip)` returns the rows of a file after the first `skip`, and how many to skip in the next file."""


def readable(paths: Sequence[str]) -> bool:
    """Return whether all of these files can be read here, by their endings."""
    return bool(paths) and all(PurePosixPath(path).suffix in READERS for path in paths)


def read_rows(paths: Sequence[str], skip: int) -> Iterator[Row]:
    """Yield the rows of files in order, after the first `skip` rows; paths may be URLs that fsspec knows."""
    import fsspec

    for path in paths:
        # A file that is here is opened as it is: fsspec would read some names ("a::b.jsonl") as URLs.
        opened: Any = Path(path).open("rb") if Path(path).is_file() else fsspec.open(path, "rb")  # noqa: SIM115
        with opened as file:
            rows, skip = READERS[PurePosixPath(path).suffix](file, skip)
            yield from rows


def _parquet(file: BinaryIO, skip: int) -> tuple[Iterator[Row], int]:
    from pyarrow import parquet

    source: Any = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
    groups = [source.metadata.row_group(number).num_rows for number in range(source.num_row_groups)]
    first = 0
    while first < len(groups) and skip >= groups[first]:
        skip -= groups[first]
        first += 1
    if first == len(groups):
        return iter(()), skip

    def rows(skip: int) -> Iterator[Row]:
        for batch in source.iter_batches(batch_size=BATCH, row_groups=list(range(first, len(groups)))):
            if skip < len(batch):
                yield from batch.slice(skip).to_pylist()
            skip = max(0, skip - len(batch))

    return rows(skip), 0


def _jsonl(file: BinaryIO, skip: int) -> tuple[Iterator[Row], int]:
    passed = number = 0
    while passed < skip and (line := file.readline()):
        number, passed = number + 1, passed + bool(line.strip())
    return (row for _, row in jsonl.objects(file, parse=jsonl.loads, first=number + 1)), skip - passed


READERS: dict[str, Reading] = {".parquet": _parquet, ".jsonl": _jsonl}
