"""Prices: the table that comes with the package, dated and with its sources, and a file of the user's on top."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fastslow.core.errors import BadInput, quoted
from fastslow.core.registry import nearest
from fastslow.costs.machines import GPUS
from fastslow.costs.work import Range

KEYS = ("source", "gpus", "storage")


MOST = 1e6
"""US dollars: a larger price is a typing error, and would end in sums that are no numbers."""


@dataclass(frozen=True)
class Prices:
    """Hold US dollars: of a GPU by the hour, of a GB on disk by the month (None: unknown), and by the name of the GPU,
    or 'storage', where they are from."""

    gpus: Mapping[str, Range]
    storage: Range | None
    sources: Mapping[str, str]


def default_prices() -> Prices:
    """Return the table that comes with the package."""
    text = (importlib.resources.files("fastslow.costs") / "prices.yaml").read_text(encoding="utf-8")
    return _read(yaml.safe_load(text), "prices.yaml", Prices({}, None, {}))


def read_prices(path: str) -> Prices:
    """Return the prices of a YAML file, over those that come with the package. Raises BadInput."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"prices '{path}' cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"prices '{path}' is not YAML: {str(error).splitlines()[0]}.") from error
    return _read(content, path, default_prices())


def _read(content: Any, path: str, before: Prices) -> Prices:
    if not isinstance(content, dict):
        raise BadInput(f"prices '{path}' must hold 'gpus:' and 'storage:', as docs/costs.md shows.")
    unknown = next((key for key in content if key not in KEYS), None)
    if unknown is not None:
        raise BadInput(f"prices '{path}' has no entry '{unknown}'.{nearest(str(unknown), KEYS)}")
    given = content.get("gpus") or {}
    if not isinstance(given, dict):
        raise BadInput(f"prices '{path}': gpus must be a mapping such as H100: 2.5.")
    gpus, sources, source = {**before.gpus}, {**before.sources}, str(content.get("source") or f"'{path}'")
    for name, price in given.items():
        if str(name).upper() not in GPUS:
            raise BadInput(f"prices '{path}' names an unknown GPU '{name}'.{nearest(str(name).upper(), GPUS)}")
        gpus[str(name).upper()] = _price(price, f"prices '{path}': gpus.{name}")
        sources[str(name).upper()] = source
    stored = content.get("storage")
    if stored is None:
        return Prices(gpus, before.storage, sources)
    return Prices(gpus, _price(stored, f"prices '{path}': storage"), {**sources, "storage": source})


def _price(value: Any, what: str) -> Range:
    numbers = value if isinstance(value, list) else [value] * 3
    if len(numbers) != 3 or not all(type(n) in (int, float) and 0 <= n <= MOST for n in numbers):
        raise BadInput(
            f"{what} must be a price of at most {MOST:,.0f}, or three of them: lowest, typical and highest; got "
            f"{_shown(value)}."
        )
    if list(numbers) != sorted(numbers):
        raise BadInput(f"{what} must rise from the lowest to the highest price, got {_shown(value)}.")
    return Range(*map(float, numbers))


def _shown(value: Any) -> str:
    try:
        return quoted(repr(value))
    except ValueError:  # a whole number of more digits than Python shows
        return "a number too long to show"
