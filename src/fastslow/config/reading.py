"""Read a text, from the command line or from a recipe, as the type of the setting that it is given to.

A text with one reading is taken, whatever YAML makes of it: `off` is text for a setting of texts and false for a
switch. A text with two (`010`, eight or ten) or none is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum
from types import NoneType
from typing import Any

from fastslow.config.recipe import Word
from fastslow.core.settings import WORDS, items_of, kinds_of
from fastslow.tasks.names import split_names

TRUE = ("true", "yes", "on", "y", "t", "1")
FALSE = ("false", "no", "off", "n", "f", "0")
OCTAL = re.compile(r"[+-]?0[0-9_]+")  # eight for YAML 1.1, ten for everybody else
SHOWN = 60  # characters of a refused value


def read_value(value: Any, hint: Any) -> Any:
    """Return `value`, as a recipe or a flag has it, as the type `hint`. Raises ValueError in words."""
    kinds = kinds_of(hint)
    if isinstance(value, str):
        return _read_text(value, kinds, hint)
    if isinstance(value, list) and list in kinds:
        return [read_value(item, items_of(hint)) for item in value]
    if isinstance(value, dict) and dict in kinds:
        return plain(value)
    if isinstance(value, (list, dict)):
        raise ValueError(f"must be {expected(kinds)}, got a {'list' if isinstance(value, list) else 'mapping'}")
    return value


def expected(kinds: Sequence[type]) -> str:
    """Say in words what a setting may be."""
    return " or ".join(dict.fromkeys(WORDS.get(kind, "text") for kind in kinds))


def plain(value: Any) -> Any:
    """Return a part of a recipe as YAML reads it, for mappings that a library takes."""
    if isinstance(value, Word):
        return value.meant
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return value


def _read_text(text: str, kinds: Sequence[type], hint: Any) -> Any:
    if getattr(text, "null", False) and NoneType in kinds:
        return None
    null = getattr(text, "null", False)
    if not null:
        for kind, read in ((bool, truth), (int, whole_number), (float, number)):
            if kind in kinds:
                value = read(text.strip())
                if value is not None:
                    return value
        if text.lower() == "none" and NoneType in kinds and str not in kinds:
            return None
        if dict in kinds and (text.startswith("{") or str not in kinds):
            return _mapping(text)
        if str in kinds or any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds):
            return str(text)
        if list in kinds:
            items = items_of(hint)
            return [read_value(part, items) for part in (split_names(text) if items is str else text.split(","))]
    shown = "none (leave the line out for the default)" if null else repr(str(text[:SHOWN]))
    raise ValueError(f"must be {expected(kinds)}, got {shown}{_two_readings(text, kinds)}")


def truth(text: str) -> bool | None:
    """Return the truth value that a word stands for; None for other words."""
    word = text.lower()
    return word in TRUE if word in TRUE + FALSE else None


def whole_number(text: str) -> int | None:
    """Return the whole number that a text writes, as in 12, 1_000, 0x10, 1e3 or 3.0; None for other texts."""
    try:
        return None if OCTAL.fullmatch(text) else int(text, 0)
    except ValueError:
        value = number(text)
        return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else None


def number(text: str) -> float | None:
    """Return the number that a text writes, infinities and NaN included; None for other texts."""
    if OCTAL.fullmatch(text):
        return None
    try:
        return float(re.sub(r"^([+-]?)\.(inf|nan)$", r"\1\2", text.lower()))
    except ValueError:
        pass
    try:
        return float(int(text, 0))
    except (ValueError, OverflowError):
        return None


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, on the command line as JSON ('{{\"name\": 1}}'), got {text[:SHOWN]!r}")
    return value


def _two_readings(text: str, kinds: Sequence[type]) -> str:
    octal = OCTAL.fullmatch(text) and {int, float} & set(kinds)
    return "; a leading zero makes it eight-based for YAML: leave it out" if octal else ""
