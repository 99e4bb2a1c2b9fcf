"""Population and router of a checkpoint or bundle as JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import to_json


def write_state(path: Path, population: Population, router: Mapping[str, Any]) -> None:
    """Write what a checkpoint or bundle holds besides weights: population.json and router.json."""
    for name, data in (("population.json", population.to_json()), ("router.json", router)):
        (path / name).write_bytes(to_json(data, indent=2))


def read_population(path: Path) -> Population:
    """Read the population of a bundle or checkpoint folder. Raises BadInput naming what is missing or malformed."""
    file = path / "population.json"
    try:
        return Population.from_json(json.loads(read_plain(file)))
    except FileNotFoundError:
        raise BadInput(f"'{path}' is not a bundle: it holds no population.json.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"'{file}' is damaged ({type(error).__name__}: {error}).") from error
