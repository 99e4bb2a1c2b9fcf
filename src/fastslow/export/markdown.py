"""Put texts of files, people and models into Markdown as code, where nothing in them is obeyed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.tasks.names import with_paths


def code(text: str) -> str:
    """Return a text in one line, as code; '' for none."""
    line = " ".join(text.split()).replace("`", "'")
    return f"`{line}`" if line else ""


def cell(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return code(text).replace("|", "\\|")


def block(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def listed(words: list[str]) -> str:
    """Return words as a list within a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def task_without_folders(name: str) -> str:
    """Return a task's name without the way to its files on this machine; what is no task's name as it is."""
    try:
        return with_paths(name, lambda path: Path(path).name if os.path.isabs(os.path.expanduser(path)) else path)
    except BadInput:
        return name
