"""Many runs as one experiment: cells that are planned first, run one after another, and never run twice.

An experiment is a directory with a folder for each cell (an ordinary run directory), the console output of each under
`logs/`, and `comparison.json`, which says what every cell is and how it ended. Readers need nothing else.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.markup import escape

from fastslow.config.groups import SPECS
from fastslow.config.parsing import EXPERIMENT
from fastslow.config.recipe import read_recipe
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.files.locks import alone_in, refuse_held
from fastslow.files.run_directory import RunDirectory, to_json

PLAN = "comparison.json"
Kind = Literal["compare", "plasticity", "continual"]

BY_MODEL = ("learning_rate",)
"""Settings that a run chooses by its model, where nobody did, and writes down."""

STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals on which a run stops with everything saved."""


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    `arm` names the group of cells that differ in the seed only; `flags` are those of `fastslow train`, without
    `--output_dir`; `settings` is what config.yaml of that run will hold.
    """

    arm: str
    mode: str
    seed: int
    folder: str
    flags: tuple[str, ...]
    settings: dict[str, Any]
    status: str = "missing"
    error: str | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        shown = ("arm", "mode", "seed", "status", "error", "seconds")
        return {"path": self.folder, **{name: getattr(self, name) for name in shown}, "flags": list(self.flags)}


class Experiment:
    """Cells under one directory.

    Args:
        path: the experiment's directory; made when the first cell runs.
        kind: how a report shows it.
        title: what was asked for, e.g. the recipe's name.
        reference: the arm that the other arms are compared with.
        cells: in the order in which they run.
    """

    def __init__(self, path: str | Path, *, kind: Kind, title: str, reference: str, cells: Sequence[Cell]):
        self.path = Path(path)
        self.kind: Kind = kind
        self.title = title
        self.reference = reference
        self._check_place(cells)
        self.cells = [self._look_up(cell) for cell in cells]

    def run(self, console: Console) -> int:
        """Run the cells that are not done.

        Returns 0 if all are done, 1 if one failed, 128 + signal where a signal ended one. Raises BadInput where another
        process works on one of these cells, e.g. a run whose experiment was killed: such a run is not a failure, and
        its folder must not be taken from it.
        """
        with alone_in(self.path):
            for cell in self.cells:  # before hours are spent on the other cells
                if cell.status != "done":
                    refuse_held(self.path / cell.folder)
            for number, cell in enumerate(self.cells, start=1):
                if cell.status == "done":
                    continue
                refuse_held(self.path / cell.folder)
                console.print(escape(f"[{number}/{len(self.cells)}] {cell.folder}{self._eta()}"), highlight=False)
                self._settle(replace(cell, status="running"))
                self._settle(self._run(cell, console))
                if self._cell(cell).status.startswith("stopped"):
                    left = sum(one.status != "done" for one in self.cells)
                    console.print(
                        f"{left} of {len(self.cells)} cells are not done. To go on with all of them, give the same "
                        "command again.", highlight=False, soft_wrap=True,
                    )  # fmt: skip
                    return next(128 + n for n in STOPPING if n.name in self._cell(cell).status)
        for cell in self.cells:
            if cell.status == "failed":
                console.print(escape(f"{cell.folder} failed: {cell.error}"), highlight=False, soft_wrap=True)
        return int(any(cell.status != "done" for cell in self.cells))

    def write(self) -> None:
        """Write the state of all cells for reports; cells of earlier calls that this call does not include stay
        listed."""
        self.path.mkdir(parents=True, exist_ok=True)
        plan = {"kind": self.kind, "recipe": self.title, "reference": self.reference}
        cells = [cell.to_json() for cell in self.cells]
        planned = {cell["path"] for cell in cells}
        cells += [cell for cell in self._earlier() if cell["path"] not in planned]
        RunDirectory(self.path).write_bytes(PLAN, to_json({**plan, "cells": cells}, indent=2))

    def _check_place(self, cells: Sequence[Cell]) -> None:
        """Raise BadInput where the directory cannot take these cells: it is a run, another kind of experiment, or has
        seeds of one of these arms made with other settings, which must not be averaged with these."""
        try:
            if (self.path / "config.yaml").exists():
                raise BadInput(f"'{self.path}' holds a run; choose another --output_dir for the experiment.")
            if self.path.exists() and not self.path.is_dir():
                raise BadInput(f"'{self.path}' is not a directory; choose another --output_dir.")
        except OSError as error:  # a name that no file can have
            raise BadInput(f"'{self.path}' cannot be a directory: {error.strerror or error}.") from error
        plan = self._plan()
        if plan.get("kind", self.kind) != self.kind:
            raise BadInput(f"'{self.path}' holds a {plan['kind']} experiment; choose another --output_dir.")
        planned, arms = {cell.folder for cell in cells}, {cell.arm: cell for cell in cells}
        for row in self._earlier():
            arm = arms.get(str(row.get("arm")))
            if arm is None or row["path"] in planned or row.get("status") == "failed":
                continue
            try:
                made_with = yaml.safe_load((self.path / row["path"] / "config.yaml").read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                continue
            other = [name for name in _differing(made_with, arm) if name != "seed"] if made_with else []
            if other:
                raise BadInput(
                    f"'{self.path / row['path']}' is a seed of the arm '{arm.arm}' made with other settings "
                    f"({', '.join(other[:5])}); choose another --output_dir, or delete that folder."
                )

    def _plan(self) -> dict[str, Any]:
        try:
            plan = json.loads((self.path / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return plan if isinstance(plan, dict) else {}

    def _earlier(self) -> list[dict[str, Any]]:
        try:
            return [cell for cell in self._plan()["cells"] if isinstance(cell["path"], str)]
        except (KeyError, TypeError):
            return []

    def _look_up(self, cell: Cell) -> Cell:
        """Return the cell as its directory shows it. Raises BadInput where other settings made the directory."""
        folder = self.path / cell.folder
        if not (folder / "config.yaml").is_file():
            return cell
        try:
            summary = RunDirectory(folder).summary()
            made_with = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return cell  # damaged: run again
        if summary.get("status") != "done":
            return replace(cell, status="unfinished") if _broken_off(folder, cell) else cell
        other = _differing(made_with, cell)
        if other:
            raise BadInput(
                f"'{folder}' was made with other settings ({', '.join(other[:5])}); choose another --output_dir, or "
                "delete that folder to run it again."
            )
        return replace(cell, status="done", seconds=summary.get("wall_s", {}).get("total"))

    def _run(self, cell: Cell, console: Console) -> Cell:
        """Run one cell in a process of its own: what the cell leaves in memory, or dies of, does not touch other
        cells."""
        folder, log = self.path / cell.folder, self.path / "logs" / f"{cell.folder}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "fastslow", "resume", str(folder)]
        if not _broken_off(folder, cell):
            shutil.rmtree(folder, ignore_errors=True)
            command = [sys.executable, "-m", "fastslow", "train", *cell.flags, "--output_dir", str(folder)]
        started, last = time.perf_counter(), ""
        with log.open("w", encoding="utf-8") as file, _child(command) as child:
            assert child.stdout is not None
            for line in child.stdout:
                file.write(line)
                file.flush()
                last = line.strip() or last
                console.print(escape("    " + line.rstrip()), highlight=False, soft_wrap=True)
        seconds = time.perf_counter() - started
        if child.returncode == 0:
            summary = RunDirectory(folder).summary()
            if summary.get("status") != "done":  # by max_minutes: not a failure of the run, but not a result either
                return replace(cell, status="failed", seconds=seconds, error=str(summary.get("status")))
            whole = summary.get("wall_s", {}).get("total")  # with the lines before the run broke off
            return replace(cell, status="done", seconds=whole or seconds, error=None)
        stopped = {128 + n: n.name for n in STOPPING} | {-n: n.name for n in signal.Signals}
        # Negative: before the run had set its handlers (loading takes a while), or after it had removed them.
        if child.returncode in {code for n in STOPPING for code in (128 + n, -n)}:
            return replace(cell, status=f"stopped by {stopped[child.returncode]}", seconds=seconds)
        how = f"killed by {stopped[child.returncode]}" if child.returncode < 0 else f"exit code {child.returncode}"
        return replace(cell, status="failed", seconds=seconds, error=f"{last[:300]} ({how}; see {log})")

    def _settle(self, cell: Cell) -> None:
        self.cells = [cell if cell.folder == each.folder else each for each in self.cells]
        self.write()

    def _cell(self, cell: Cell) -> Cell:
        return next(each for each in self.cells if each.folder == cell.folder)

    def _eta(self) -> str:
        """Estimate how long the rest will take, from finished cells of the same mode; '' before there is one."""
        known: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell.status == "done" and cell.seconds:
                known.setdefault(cell.mode, []).append(cell.seconds)
        if not known:
            return ""
        means = {mode: sum(values) / len(values) for mode, values in known.items()}
        longest = max(means.values())  # of a mode without a finished cell
        left = sum(means.get(cell.mode, longest) for cell in self.cells if cell.status not in ("done", "failed"))
        return f", about {max(1, round(left / 60))} minutes to go"


def _differing(made_with: dict[str, Any], cell: Cell) -> list[str]:
    """List the settings in which a run differs from its cell as planned. A setting that either side does not mention
    has its default: a run made before a setting existed did what its default does."""

    def value(settings: dict[str, Any], name: str) -> Any:
        return settings[name] if name in settings else getattr(FastSlowConfig, name, None)

    incidental = {name for name, spec in SPECS.items() if spec.incidental}
    chosen = {name for name in BY_MODEL if cell.settings.get(name) is None}
    names = sorted((set(made_with) | set(cell.settings)) - incidental - chosen)
    return [name for name in names if value(made_with, name) != value(cell.settings, name)]


def _broken_off(folder: Path, cell: Cell) -> bool:
    """Return whether `folder` holds this very cell, unfinished; a cell with other settings is made anew."""
    try:
        made_with = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return isinstance(made_with, dict) and not _differing(made_with, cell)
    except (OSError, ValueError, yaml.YAMLError):
        return False


@contextlib.contextmanager
def _child(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a run and read its output. Signals that stop a run are passed on: the run saves its step, and this process
    waits. SIGHUP stays ignored where it is (`nohup`)."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    )
    previous: dict[int, Any] = {}

    def pass_on(number: int, frame: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)

    try:
        for number in STOPPING:
            if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:
                previous[number] = signal.signal(number, pass_on)
        yield child
        child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
            child.wait()


def read_section(path: str) -> dict[str, Any]:
    """Read the `compare:` section of a recipe, with its texts as they are written: what an experiment asks for beyond
    one run. {} without one."""
    section = read_recipe(path).get(EXPERIMENT)
    if not isinstance(section or {}, dict):
        raise BadInput(f"recipe '{path}': '{EXPERIMENT}' must hold 'name: value' lines.")
    return dict(section or {})
