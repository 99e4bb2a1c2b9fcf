"""Values of a file that should be a number, a name or an object. Nothing here raises for another value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None  # false for NaN and infinity


def count(value: Any) -> int | None:
    """Return a whole number from 0 to 1e15, or None."""
    known = number(value)
    return int(known) if known is not None and 0 <= known <= 1e15 and known == int(known) else None


def text(value: Any, otherwise: str) -> str:
    """Return a name as the file spells it, cut to 500 characters; a container is not a name."""
    if value is None or isinstance(value, dict | list):
        return otherwise
    return str(value)[:500] if not isinstance(value, int) or abs(value) < 10**18 else otherwise


def names(value: Any) -> list[str]:
    """Return the texts of a list; empty where the value is not a list."""
    return [one[:500] for one in value if isinstance(one, str)] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object; empty where the value is not an object."""
    return value if isinstance(value, Mapping) else {}


def mean_score(scores: Any) -> float | None:
    """Average an object of scores by example; None where it is empty or one of the scores is not a number."""
    values = [number(value) for value in mapping(scores).values()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def is_partial(rewards: Any) -> bool:
    """Return whether one of these rewards is neither 0 nor 1; what is no number is unscored."""
    values = rewards if isinstance(rewards, Iterable) and not isinstance(rewards, str | bytes) else ()
    return any(known is not None and known not in (0.0, 1.0) for known in map(number, values))


def read_json(path: Path) -> Mapping[str, Any]:
    """Read an object of a JSON file. Raises OSError or ValueError."""
    try:
        return mapping(json.loads(path.read_text(encoding="utf-8")))
    except RecursionError as error:
        raise ValueError("too deep") from error
