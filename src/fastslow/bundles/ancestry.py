"""Know the runs behind a bundle: weights that were trained twice have met the questions of both runs.

The settings in `bundle.json` list them as `ancestors`, the nearest first, with what it takes to ask for their questions
again. A bundle of an older version has no such list; the settings that stand beside the bundle name what its run began
from, which is followed as far as it can be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fastslow.bundles.bundle import settings_of, with_places
from fastslow.bundles.digest import BUNDLE
from fastslow.core.errors import BadInput
from fastslow.core.paths import relocated
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import RunDirectory

OF_QUESTIONS = (
    "task", "tasks", "task_object", "train_size", "validation_size", "test_size", "data_seed", "questions_taken",
)  # fmt: skip
"""Settings that say which questions a run had."""

UNKNOWN = "unknown"
"""The only entry of an ancestor that could not be read: where it was, and why."""


def ancestors_of(folder: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs whose weights a bundle's own run went on with, the nearest first.

    Args:
        folder: of the bundle.
        settings: of its run, as `read_settings` returns them.
    """
    return list(_ancestors_of(folder, settings, {os.path.realpath(folder)}))


def ancestors_from(*places: str) -> list[dict[str, Any]]:
    """Return the runs behind the weights at these places: of each that holds a bundle its run, then its ancestors."""
    return list(_from(places, set()))


def behind(model: str) -> list[str]:
    """Return the place of a base model if it is a bundle, whose weights were trained before."""
    return [model] if os.path.isfile(os.path.join(model, BUNDLE)) else []


def _ancestors_of(folder: Path, settings: Mapping[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
    listed = settings.get("ancestors")
    if listed is not None:
        return iter(listed)
    return _from([*_begun_from(folder), *behind(settings["model"])], seen)


def _from(places: Iterable[str], seen: set[str]) -> Iterator[dict[str, Any]]:
    for place in places:
        try:
            folder, settings = settings_of(place)
        except BadInput as error:
            yield {UNKNOWN: f"'{place}', from which a run began: {error}"}
            continue
        where = os.path.realpath(folder)
        if where not in seen:  # folders that were moved may name each other
            seen.add(where)
            found = with_places(settings, partial(_after_move, RunDirectory(folder.absolute().parent)))
            yield {name: found[name] for name in OF_QUESTIONS if name in found}
            yield from _ancestors_of(folder, found, seen)


def _after_move(run: RunDirectory, path: str) -> str:
    return relocated(path, was=run.written_to(), now=str(run.path))


def _begun_from(folder: Path) -> list[str]:
    """Return what the run of a bundle in its run directory began from, by the run's config.yaml."""
    run = RunDirectory(folder.absolute().parent)
    try:
        config = yaml.safe_load(read_plain(run.path / "config.yaml")) if folder.name == "bundle" else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return []
    place = config.get("from_bundle") if isinstance(config, dict) else None
    return [_after_move(run, place)] if isinstance(place, str) and place else []
