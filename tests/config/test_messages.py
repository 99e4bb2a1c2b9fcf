"""Messages name a setting as a recipe and the command line do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from fastslow.config.settings import FastSlowConfig

SOURCES = Path(__file__).parents[2] / "src/fastslow"
SETTINGS = {f.name for f in fields(FastSlowConfig)}
WORD = re.compile(r"(?<![\w.])[a-z]+(?:_[a-z]+)+\b")


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that people may read: those with spaces that are no docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in apart
        ):
            yield node.lineno, node.value


def test_no_message_calls_a_setting_by_the_end_of_its_name() -> None:
    wrong = [
        f"{file.relative_to(SOURCES)}:{line} says '{word}' for '{setting}'"
        for file in sorted(SOURCES.rglob("*.py"))
        for line, text in sentences(file)
        for word in WORD.findall(text)
        for setting in SETTINGS
        if word not in SETTINGS and setting.endswith(f"_{word}")
    ]
    assert not wrong
