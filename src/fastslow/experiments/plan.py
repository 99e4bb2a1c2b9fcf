"""Plan the cells of an experiment: modes x seeds x swept settings, or fresh RL from several starting points."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from fastslow.config.dump import dump_config
from fastslow.config.groups import SPECS
from fastslow.config.parsing import parse_config
from fastslow.config.reading import plain
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES, REFERENCE, SEQUENTIAL, Mode
from fastslow.core.registry import nearest
from fastslow.experiments.experiment import Cell, Experiment, Kind
from fastslow.streams import has_stages

LONGEST_NAME = 160  # bytes of a folder's name: file systems take 255, which must also hold `.log` and the seed


def parse_modes(text: str) -> list[str]:
    """Parse 'fst,rl,sequential' into names of modes, each once. Raises BadInput for one that does not exist."""
    names: list[str] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in MODES and name != "sequential":
            raise BadInput(f"unknown mode '{name}'.{nearest(name, [*MODES, 'sequential'])}")
        names += SEQUENTIAL if name == "sequential" else [name]
    if not names:
        raise BadInput("name at least one mode, e.g. --modes fst,rl.")
    return list(dict.fromkeys(names))


def parse_seeds(text: str) -> list[int]:
    """Parse '3' into seeds 1, 2, 3 and '7,11' into those two. Raises BadInput for anything else."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and part.isascii() and len(part) < 10 for part in parts):
        raise BadInput(f"seeds are a number (3: seeds 1 to 3) or a list (7,11), got '{text}'.")
    if len(parts) == 1 and "," not in text:
        if not 1 <= int(parts[0]) <= 1000:
            raise BadInput(f"between 1 and 1000 seeds, got {parts[0]}.")
        return list(range(1, int(parts[0]) + 1))
    return list(dict.fromkeys(map(int, parts)))


def parse_sweep(texts: Iterable[str]) -> dict[str, list[str]]:
    """Parse ['population_size=1,2,4'] into setting -> values. Raises BadInput for what is not a setting."""
    sweep: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise BadInput(f"a sweep is written SETTING=VALUE,VALUE, got '{text}'.")
        sweep[name.strip()] = values.split(",")
    return checked_sweep(sweep)


def checked_sweep(sweep: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return setting -> values as flags take them. Raises BadInput for what cannot be swept over."""
    if not isinstance(sweep, Mapping):
        raise BadInput(f"'sweep' must hold 'setting: [value, value]' lines, got {sweep!r}."[:300])
    known = FastSlowConfig.__dataclass_fields__
    for name, values in sweep.items():
        if name not in known or name in ("mode", "seed", "output_dir", "task", "tasks"):
            raise BadInput(f"'{name}' cannot be swept over.{nearest(name, known)}")
        if not isinstance(values, (list, tuple)) or not values:
            raise BadInput(f"the sweep over '{name}' needs a list of values.")
    return {name: [_word(value) for value in values] for name, values in sweep.items()}


def plan_modes(
    path: str | Path,
    *,
    kind: Kind,
    title: str,
    flags: Sequence[str],
    modes: Sequence[str],
    seeds: Sequence[int],
    sweep: Mapping[str, Sequence[str]] | None = None,
) -> Experiment:
    """Combine every mode with every combination of swept values and every seed. The cells of a seed run together, so
    that an experiment cut short has whole seeds. `flags` are for `fastslow train` and hold for every cell."""
    cells: dict[tuple[str, int], Cell] = {}
    combinations = [
        dict(zip(sweep or {}, values, strict=True)) for values in itertools.product(*(sweep or {}).values())
    ]
    for seed, mode, values in itertools.product(seeds, modes, combinations):
        own = {name: value for name, value in values.items() if _has_effect(name, MODES[mode])}
        arm = " ".join([mode, *(f"{name}={value}" for name, value in own.items())])
        cell = make_cell(arm, mode, seed, [*flags, *(word for n, v in own.items() for word in (f"--{n}", v))])
        cells.setdefault((arm, seed), cell)
    arms = list(dict.fromkeys(cell.arm for cell in cells.values()))
    reference = _reference(cells.values()) or arms[0]
    return Experiment(path, kind=kind, title=title, reference=reference, cells=_apart(cells.values()))


def _has_effect(name: str, mode: Mode) -> bool:
    """Return whether the setting changes anything in `mode`: sweeping over one without effect would only repeat a
    run."""
    channel = SPECS[name].channel if name in SPECS else None
    return channel is None or (mode.fast if channel == "fast" else mode.slow)


def plan_arms(
    path: str | Path,
    *,
    kind: Kind,
    title: str,
    flags: Sequence[str],
    arms: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
) -> Experiment:
    """Plan arms named one by one, each with its own settings: name -> setting -> value. The first is the reference,
    unless one is plain RL. Raises BadInput for what is not a setting."""
    known, cells = FastSlowConfig.__dataclass_fields__, []
    for seed, (arm, settings) in itertools.product(seeds, arms.items()):
        if not isinstance(settings, Mapping):
            raise BadInput(f"arm '{arm}' must hold 'setting: value' lines.")
        words: list[str] = []
        for name, value in settings.items():
            if name in ("seed", "output_dir"):
                raise BadInput(f"arm '{arm}': the experiment sets '{name}' for each cell.")
            if name not in known:
                raise BadInput(f"arm '{arm}': no setting '{name}'.{nearest(name, known)}")
            if name != "mode":
                words += [f"--{name}", *map(_word, value if isinstance(value, (list, tuple)) else [value])]
        try:
            cells.append(make_cell(str(arm), str(settings.get("mode", known["mode"].default)), seed, [*flags, *words]))
        except BadInput as error:
            raise BadInput(f"arm '{arm}': {error}") from error
    reference = _reference(cells) or cells[0].arm
    return Experiment(path, kind=kind, title=title, reference=reference, cells=_apart(cells))


def plan_plasticity(
    path: str | Path, *, title: str, flags: Sequence[str], starts: Mapping[str, str], seeds: Sequence[int]
) -> Experiment:
    """Plan plain RL on one task from each starting point: arm -> model."""
    cells = [
        make_cell(arm, REFERENCE.name, seed, [*flags, "--model", model])
        for seed in seeds
        for arm, model in starts.items()
    ]
    return Experiment(path, kind="plasticity", title=title, reference=next(iter(starts)), cells=_apart(cells))


def make_cell(arm: str, mode: str, seed: int, flags: Sequence[str]) -> Cell:
    """Make a cell, reading its settings as `fastslow train` will: what cannot run is refused before anything has
    run."""
    words = [*flags, "--mode", mode, "--seed", str(seed)]
    settings = yaml.safe_load(dump_config(parse_config([*words, "--output_dir", "x"])))
    return Cell(arm, mode, seed, f"{_folder(arm)}-s{seed}", tuple(words), settings)


def _word(value: Any) -> str:
    """Return a value of a recipe as the command line takes it: a mapping as JSON."""
    if value is None:
        return "none"
    return json.dumps(plain(value)) if isinstance(value, dict) else str(value)


def _reference(cells: Iterable[Cell]) -> str | None:
    """Return the arm of the reference mode, that of its name before others. One that has all tasks at once, where
    others have one after another, is a ceiling."""
    cells = list(cells)
    several = len({has_stages(cell.settings.get("stream") or "") for cell in cells if cell.settings.get("tasks")}) > 1
    found = [
        cell.arm
        for cell in cells
        if MODES[cell.mode].role == "reference" and not (several and not has_stages(cell.settings.get("stream") or ""))
    ]
    return REFERENCE.name if REFERENCE.name in found else next(iter(found), None)


def _folder(arm: str) -> str:
    """Turn a name into a folder's name: plain characters only, and not longer than a file system takes."""
    name = "".join(c if c.isalnum() or c in "-_.=" else "-" for c in arm).strip(".")
    return name if len(name.encode()) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 4]}-{_digest(arm)}"


def _apart(cells: Iterable[Cell]) -> list[Cell]:
    """Give every cell a folder of its own: arms whose names differ in special characters only would share one."""
    taken: set[str] = set()
    placed = []
    for cell in cells:
        folder = cell.folder
        if folder in taken:
            folder = f"{_folder(cell.arm)[: LONGEST_NAME // 4]}-{_digest(cell.arm)}-s{cell.seed}"
        taken.add(folder)
        placed.append(replace(cell, folder=folder))
    return placed


def _digest(arm: str) -> str:
    return hashlib.sha256(arm.encode()).hexdigest()[:8]
