"""What commands share: the parser with our one-line errors, kinds of numbers, and files that results are written to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fastslow.core.errors import BadInput
from fastslow.files.atomic import write_file

N = TypeVar("N", int, float)

MOST = 1_000_000
"""Most samples, examples or tokens: a larger number is a typing error, and would fill the memory."""


class Parser(argparse.ArgumentParser):
    """Parse flags with argparse and our one-line errors."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def positive(text: str) -> int:
    """Read a whole number from 1 to MOST; a type for argparse."""
    return _at_least(1, text)


def count(text: str) -> int:
    """Read a whole number from 0 to MOST; a type for argparse."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    if value > MOST:
        raise argparse.ArgumentTypeError(f"must be at most {MOST:,}")
    return value


def between(text: str, what: str, fits: Callable[[N], bool], kind: Callable[[str], N] = float) -> N:
    """Read a number that fits; `what` says which do. For types of argparse."""
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {what}, got '{text}'") from None
    if not fits(value):
        raise argparse.ArgumentTypeError(f"must be {what}, got '{text}'")
    return value


def arguments(text: str) -> dict[str, Any]:
    """Read a mapping in JSON; a type for argparse."""
    from fastslow.config.reading import read_value

    try:
        return read_value(text, dict)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, the one that a link names; what is not a plain file (a pipe, a device) is written to.

    Raises BadInput where the disk does not take the content.
    """
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            write_file(target, content)
    except OSError as error:
        raise BadInput(f"cannot write '{path}': {error.strerror or error}.") from error


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before a model is loaded and measured for minutes."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise BadInput(f"cannot write '{path}': it is a directory; give a file.")
        if not target.parent.is_dir():
            raise BadInput(f"cannot write '{path}': its folder does not exist.")
        if target.exists() and not os.access(target, os.W_OK):
            raise BadInput(f"cannot write '{path}': it may not be written to.")
        # A folder may refuse new files in many ways, and only an attempt tells; the content is written under this name
        # first.
        aside = target.with_name(target.name + ".tmp")
        if (target.is_file() or not target.exists()) and not aside.exists():
            aside.touch()
            aside.unlink()
    except OSError as error:
        raise BadInput(f"cannot write '{path}': {error.strerror or error}.") from error
