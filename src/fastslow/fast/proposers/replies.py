"""Read what a language model returns: a text that may stand in a code block, or JSON that is nearly JSON."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<info>.*?)[ \t]*")
"""A line that opens a code block, after CommonMark 0.31 (4.5): three or more backticks or tildes, then an info string,
which holds no backtick behind backticks."""

HALF_ESCAPED = re.compile(r"\\\\|\\'|\\(?=[bf][A-Za-z]|u(?![0-9A-Fa-f]{4})|[^\"\\/bfnrtu])")
"""A backslash of LaTeX that was not doubled: before a letter that JSON knows no escape for, or as in `\\frac`, where
JSON reads a form feed. Pairs are matched to be passed over, and a quote that needs no backslash."""

NOT_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[\]}])', re.DOTALL)
"""A string, or what JSON5 has more than JSON between values: comments, and a comma before a closing bracket."""


def without_code_block(text: str) -> str:
    """Return the content of the one code block that the text consists of; a text that is anything else, as it is.

    In CommonMark a block cannot hold a block of the same fence. Models write those all the same, so a line with a word
    behind its fence opens a block inside a block. A text that begins and ends with a code block each is not one block,
    and keeps its lines. A block that is never closed loses its first line.
    """
    lines = text.strip("\n").split("\n")
    open_fences: list[str] = []
    for number, line in enumerate(lines):
        found = FENCE.fullmatch(line)
        if number == 0 and not found:
            return text
        if not found:
            continue
        fence, info = found["fence"], found["info"]
        if not open_fences or (info and " " not in info):
            open_fences.append(fence)
        elif not info and fence in open_fences:
            del open_fences[_last(open_fences, fence) :]
        elif not info and fence[0] == open_fences[-1][0] and len(fence) > len(open_fences[-1]):
            open_fences.pop()
        if not open_fences:
            return "\n".join(lines[1:-1]) if number == len(lines) - 1 else text
    return "\n".join(lines[1:])


def _last(fences: list[str], fence: str) -> int:
    return len(fences) - 1 - fences[::-1].index(fence)


def loose_json(text: str) -> Any:
    """Return the value of a text that is JSON, or nearly: with comments, commas at the end, or the quotes of Python.

    Several values one after another become a list. A number is returned as the text that it is written as. Raises
    ValueError for anything else.
    """
    plain = HALF_ESCAPED.sub(lambda found: {"\\\\": "\\\\", "\\'": "'"}.get(found[0], "\\\\"), text)
    try:
        return _values(plain)
    except ValueError:
        pass
    for _ in range(2):  # a comment may stand between a comma and the bracket
        plain = NOT_JSON.sub(lambda found: found[0] if found[0].startswith('"') else "", plain)
    try:
        return _values(plain)
    except ValueError:
        return _python_literal(text)


def _values(text: str) -> Any:
    # Line breaks inside a string are allowed: what they mean is plain.
    decoder = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
    values: list[Any] = []
    at = 0
    while rest := text[at:].lstrip(" \t\n\r,"):
        at = len(text) - len(rest)
        try:
            value, at = decoder.raw_decode(text, at)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        values.append(value)
    if not values:
        raise ValueError("no value")
    return values[0] if len(values) == 1 else values


def _python_literal(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on escapes in what is parsed
            tree = ast.parse(text.strip(), mode="eval")
        return _of_node(tree.body, text.strip())
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not JSON: {type(error).__name__}") from None


def _of_node(node: ast.expr, source: str) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return [_of_node(part, source) for part in node.elts]
    if isinstance(node, ast.Dict):
        return {_of_node(k, source): _of_node(v, source) for k, v in zip(node.keys, node.values, strict=True) if k}
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    number = node.operand if isinstance(node, ast.UnaryOp) else node
    if isinstance(number, ast.Constant) and isinstance(number.value, int | float):
        return ast.get_source_segment(source, node)
    raise ValueError("not JSON")
