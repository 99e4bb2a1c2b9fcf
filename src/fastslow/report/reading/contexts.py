"""The contexts of a run or a bundle, with what its files say of them. Weights are not read, nor is torch loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastslow.contexts.population import Population
from fastslow.contexts.storage import read_population
from fastslow.core.errors import BadInput, quoted
from fastslow.files import jsonl
from fastslow.report.reading.soft import Nearest, nearest_tokens, read_nearest
from fastslow.report.reading.values import mapping, read_json, text

POPULATION, SUMMARY, STANDINGS = "population.json", "summary.json", "standings.jsonl"


@dataclass(frozen=True)
class KnownContexts:
    """Hold what the files of a run say of its contexts.

    Attributes:
        folder: where population.json is: a bundle, or a run directory without one.
        population: the contexts.
        standings: context id -> what all rollouts say of it (`level`, `low`, `high`, `rollouts`), of the contexts in
            use; empty where the run wrote none.
        nearest: of the soft contexts in use, the tokens that their rows are near.
    """

    folder: Path
    population: Population
    standings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nearest: Nearest = field(default_factory=dict)


def read_contexts(path: str | Path) -> KnownContexts:
    """Read the contexts of a run directory or a bundle folder. Raises BadInput where there are none, and for contexts
    that cannot be read; damaged standings are read as missing."""
    given = Path(path)
    folder = next((one for one in (given / "bundle", given) if (one / POPULATION).is_file()), None)
    if folder is None:
        raise BadInput(_none_at(given))
    population = read_population(folder)
    for context in population.known.values():
        try:
            _ = context.worked_examples
        except ValueError as error:
            raise BadInput(f"'{folder / POPULATION}' is damaged (context {context.id}: {error}).") from error
    run = folder.absolute().parent if folder.absolute().name == "bundle" else folder
    return KnownContexts(folder, population, _standings(run), read_nearest(folder) or _nearest(run))


def _none_at(path: Path) -> str:
    shown = quoted(path)
    if not path.is_dir():
        return f"'{shown}' is not a directory; give a run directory or a bundle."
    if (path / "config.yaml").is_file() and not (path / SUMMARY).is_file():
        return (
            f"'{shown}' has no population yet ({POPULATION} is written when a run ends; one that broke off goes on "
            f"with fastslow resume {shown}). contexts.jsonl there holds what was proposed so far."
        )
    return f"'{shown}' has no population (no {POPULATION}); give a finished run or its bundle/ folder."


def _nearest(run: Path) -> Nearest:
    """Return what the summary of a run without a bundle says of rows."""
    try:
        return nearest_tokens(read_json(run / SUMMARY).get("soft"))
    except (OSError, ValueError):
        return {}


def _standings(run: Path) -> dict[str, Mapping[str, Any]]:
    """Return the standings of the summary or, where there are none, those of the last fast phase."""
    try:
        rows = read_json(run / SUMMARY).get("standings")
    except (OSError, ValueError):
        rows = None
    if not rows:
        rows = None
        try:
            for line in jsonl.rows(run / STANDINGS):
                rows = line.get("standings")
        except (OSError, jsonl.BadLine):
            rows = None
    listed = [mapping(row) for row in rows] if isinstance(rows, list) else []
    return {text(row.get("context_id"), ""): row for row in listed}
