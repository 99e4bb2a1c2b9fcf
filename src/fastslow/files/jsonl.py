"""Read and append JSONL: UTF-8 text with one JSON object a line."""

from __future__ import annotations

import codecs
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

TAIL = 2**16
"""Bytes that are read at a time where a file is searched from its end."""


class RepeatedKey(ValueError):
    """A key that stands twice in one object. `json.loads` keeps the last value and says nothing."""


class BadLine(ValueError):
    """A line that is not a JSON object: its number, counted from 1, and what it is instead."""

    def __init__(self, number: int, problem: str):
        super().__init__(f"line {number} {problem}")
        self.number = number
        self.problem = problem


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises RepeatedKey and what `json.loads` raises."""
    return json.loads(text, object_pairs_hook=_each_once)


def dumps(data: Any, indent: int | None = None) -> bytes:
    """Encode JSON as UTF-8, always in the same way. Lone surrogates, which model text may hold, are written as JSON
    escapes."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent)
    return (text + "\n").encode("utf-8", "backslashreplace")


def objects(
    lines: Iterable[bytes],
    on_damage: Callable[[BadLine], None] | None = None,
    *,
    parse: Callable[[str], Any] = json.loads,
    first: int = 1,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number, counted from 1, and the object of every line; blank lines are skipped.

    Args:
        lines: an open binary file, or any other lines in order.
        on_damage: called with each damaged line, which is then skipped. Without it a damaged line raises BadLine.
        parse: reads the text of a line; `loads` for files that people write, as it takes longer.
        first: number of the first of these lines in their file.
    """
    for number, line in enumerate(lines, start=first):
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not content.strip():
            continue
        try:
            yield number, _object(number, content, parse)
        except BadLine as damage:
            if on_damage is None:
                raise
            on_damage(damage)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file; none where there is no file. Raises BadLine and OSError."""
    return list(rows(path))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file one by one, for files that grow with a run; as `read` does otherwise."""
    try:
        with path.open("rb") as file:
            yield from (value for _, value in objects(file))
    except FileNotFoundError:
        return


def append(path: Path, lines: Iterable[bytes], *, sync: bool = False) -> None:
    """Append whole lines, each with its line end, in one write. With `sync`, return when the disk holds them."""
    with path.open("ab") as file:
        file.write(b"".join(lines))
        if sync:
            file.flush()
            os.fsync(file.fileno())


def end_of_lines(path: Path) -> int:
    """Return where the last whole line of a file ends; 0 where there is no file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - TAIL)
                file.seek(start)
                whole = file.read(end - start).rfind(b"\n") + 1
                if whole:
                    return start + whole
                end = start
    except FileNotFoundError:
        pass
    return 0


def cut_torn_line(file: BinaryIO) -> None:
    """Remove the last line of an open file where a kill left it without a line end; then rewind to the beginning."""
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    file.seek(0)


def _object(number: int, line: bytes, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        value = parse(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadLine(number, "is not UTF-8") from None
    except RepeatedKey as error:
        raise BadLine(number, f"has {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadLine(number, f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadLine(number, f"is a JSON {type(value).__name__}")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RepeatedKey(f"the key {twice!r} twice in one object")
    return members
