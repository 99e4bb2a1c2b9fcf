"""Read parsed JSON as the dataclass that was written: whoever can edit the file can put anything anywhere in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fastslow.core.errors import quoted
from fastslow.core.settings import WORDS

T = TypeVar("T")

LARGEST = 2**53
"""Whole numbers beyond it have no float of the same value, and none of ours comes near."""


def read_as(kind: type[T], data: Any, where: str = "") -> T:
    """Return what JSON holds as `kind`: a dataclass, every value of the type that its field names, or another type.

    Types are those of JSON, mappings and tuples of them, literals, other dataclasses, and unions with None. A whole
    number stays one where the field is a float. Keys that the dataclass lacks are refused, and so are missing ones
    without a default. Raises ValueError, which names the first place that is wrong, as in `checks.2.low`.
    """
    return _value(kind, data, where)


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if origin is Any:
        return data
    if origin in (Union, UnionType):
        return None if data is None else _value(next(part for part in parts if part is not NoneType), data, where)
    if origin is Literal:
        if not isinstance(data, str) or data not in parts:
            raise ValueError(f"{where} must be one of {', '.join(parts)}, got {_shown(data)}")
        return data
    if is_dataclass(origin):
        return _dataclass(origin, data, where)
    if origin is tuple:
        _expect(isinstance(data, list), "a list", data, where)
        return tuple(_value(parts[0], one, f"{where}.{number}") for number, one in enumerate(data))
    if origin is Mapping:
        _expect(isinstance(data, dict), "a mapping", data, where)
        return {key: _value(parts[1], one, f"{where}.{quoted(key, 60)}") for key, one in data.items()}
    _expect(_is_scalar(origin, data), WORDS[origin], data, where)
    return data


def _dataclass(kind: Any, data: Any, where: str) -> Any:
    _expect(isinstance(data, dict), "a mapping", data, where)
    hints, values = _hints(kind), {}
    for field in fields(kind):
        place = f"{where}.{field.name}".lstrip(".")
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{place} is missing")
    strange = next((key for key in data if key not in hints), None)
    if strange is not None:
        raise ValueError(f"there is no {f'{where}.{quoted(strange, 60)}'.lstrip('.')}")
    return kind(**values)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _is_scalar(kind: Any, data: Any) -> bool:
    if type(data) is int and kind in (int, float):
        return abs(data) <= LARGEST
    return type(data) is kind and (kind is not float or math.isfinite(data))


def _expect(fits: bool, what: str, data: Any, where: str) -> None:
    if not fits:
        raise ValueError(f"{where or 'it'} must be {what}, got {_shown(data)}")


def _shown(data: Any) -> str:
    """Return the beginning of a value; nested ones only by their kind, as they may be nested without an end."""
    if isinstance(data, (list, dict)):
        return "a list" if isinstance(data, list) else "a mapping"
    return quoted(repr(data[:80] if isinstance(data, str) else data), 60)
