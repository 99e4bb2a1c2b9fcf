"""Parse task names, `family:rest?key=value&key=value`, and convert their values to the types that a task declares."""

from __future__ import annotations

import collections.abc
import datetime
import enum
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from fastslow.core.errors import BadInput

FILES = {".jsonl": "jsonl", ".json": "hf", ".csv": "hf", ".parquet": "hf"}
"""Ending of a file -> the family that reads it."""

KINDS_OF_FILES = ("csv", "json", "jsonl", "parquet")
"""What people write before the name of a file, where the ending says it already."""

TRUE = ("true", "1", "yes")
FALSE = ("false", "0", "no")


@dataclass(frozen=True)
class Spec:
    """Hold the parts of a task name. `head` is everything before the question mark."""

    head: str
    params: Mapping[str, str]

    @property
    def family(self) -> str:
        return self.head.partition(":")[0]

    @property
    def rest(self) -> str:
        return self.head.partition(":")[2]


def parse_spec(text: str) -> Spec:
    """Parse a task name; that of a file alone stands for the family that reads the file. Raises BadInput for a
    parameter that is not `key=value` or is given twice.

    A plus sign stays a plus sign: `operators=+,-` must not turn into a space, as it would in a web form.
    """
    head, _, query = text.strip().partition("?")
    params: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise BadInput(f"task '{text}': '{part}' is not a parameter; write ?key=value&key=value after the name.")
        if key in params:
            raise BadInput(f"task '{text}': parameter '{key}' is given twice; keep one.")
        params[key] = unquote(value)
    if not head:
        raise BadInput(f"task '{text}' has no name; write for example reasoning_gym:products or jsonl:data.jsonl.")
    return Spec(_with_family(head), params)


def _with_family(head: str) -> str:
    """Return `hf:x.csv` for `x.csv`, `csv:x.csv` and `jsonl:x.csv`, and so on for what else is plainly a file."""
    family, colon, rest = head.partition(":")
    reader = next((reader for ending, reader in FILES.items() if head.lower().endswith(ending)), None)
    if reader is None or (colon and family not in KINDS_OF_FILES) or (family == "jsonl" and head.endswith(".json")):
        return head
    return f"{reader}:{rest if colon else head}"


def format_spec(head: str, params: Mapping[str, str]) -> str:
    """Return the canonical name: parameters sorted, so that equal tasks have equal names."""
    if not params:
        return head
    return f"{head}?" + "&".join(f"{key}={quote(params[key], safe=',:;/+*-. ')}" for key in sorted(params))


def coerce(text: str, hint: Any) -> Any:
    """Return `text` as a value of the type `hint`; lists and tuples are comma separated.

    Raises ValueError saying what was expected, or TypeError for a type that a task name cannot express.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _coerce_optional(text, args)
    if origin is typing.Literal:
        return _coerce_choice(text, {str(choice): choice for choice in args})
    if hint in (list, tuple) or origin in (list, tuple, collections.abc.Sequence):
        element = args[0] if args else str
        values = [coerce(part, element) for part in text.split(",")] if text else []
        return values if list in (hint, origin) else tuple(values)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _coerce_choice(text, {str(member.value): member for member in hint})
    return _coerce_plain(text, hint)


def _coerce_optional(text: str, args: tuple[Any, ...]) -> Any:
    if type(None) in args and text.lower() == "none":
        return None
    kinds = [kind for kind in args if kind is not type(None)]
    if len(kinds) != 1:
        raise TypeError("a type with alternatives")
    return coerce(text, kinds[0])


def _coerce_choice(text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"one of {', '.join(choices)}")
    return choices[text]


def _coerce_plain(text: str, hint: Any) -> Any:
    if hint is str:
        return text
    if hint is bool:
        if text.lower() not in TRUE + FALSE:
            raise ValueError("true or false")
        return text.lower() in TRUE
    if hint in (int, float):
        try:
            value = hint(text)
        except ValueError:
            raise ValueError("a whole number" if hint is int else "a number") from None
        if not math.isfinite(value):
            raise ValueError("a finite number")
        return value
    if hint in (datetime.date, datetime.time):
        try:
            return hint.fromisoformat(text)
        except ValueError:
            raise ValueError(f"an ISO {hint.__name__}") from None
    raise TypeError(f"the type {getattr(hint, '__name__', hint)}")
