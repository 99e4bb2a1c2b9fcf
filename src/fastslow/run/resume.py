"""Prepare a resumed run: choose the checkpoint and the settings, and cut the files back to that checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fastslow.bundles.digest import BUNDLE, has_manifest, verified_files
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.paths import relocated
from fastslow.files import jsonl
from fastslow.files.atomic import discard
from fastslow.files.locks import refuse_held
from fastslow.files.manifest import Damaged, digest
from fastslow.files.run_directory import FILES, RunDirectory
from fastslow.files.sealed import Checkpoints, verify
from fastslow.files.snapshot import read_plain
from fastslow.record.live_file import LiveFile
from fastslow.tasks.names import with_paths

FROM_START = "none"
"""Given instead of a checkpoint's name: start over."""


def choose_checkpoint(run: RunDirectory, name: str | None = None) -> Path | None:
    """Return the verified checkpoint called `name`, or the newest; None where none was made.

    Raises Damaged for a checkpoint that is not what was written, naming the one before it: damage is never passed over
    in silence.
    """
    checkpoints = Checkpoints(run.path)
    steps = checkpoints.steps()
    if name == FROM_START:
        return None
    if name is not None and name not in {f"checkpoint-{step}" for step in steps}:
        known = ", ".join(f"checkpoint-{step}" for step in steps) or "none"
        raise BadInput(f"'{run.path}' has no checkpoint '{name}'; there are: {known}.")
    if not steps:
        done = summary_of(run).get("steps")
        if isinstance(done, int) and done > 0:
            raise Damaged(
                f"'{run.path}' has gone {done} steps, by its summary.json, and holds no checkpoint any more; to start "
                f"over: fastslow resume {run.path} --checkpoint none"
            )
        return None
    folder = run.path / name if name else checkpoints.folder(steps[-1])
    try:
        check(run, folder)
    except Damaged as damage:
        raise Damaged(f"{damage} It was not loaded. {mend(run, folder)}") from None
    return folder


def check(run: RunDirectory, folder: Path) -> None:
    """Raise Damaged unless this checkpoint is whole and fits the other files of the run."""
    manifest = verify(folder)
    if manifest.get("config") != digest(run.path / "config.yaml"):
        raise Damaged(f"{folder.name} was written under another config.yaml than the one that is there now.")
    positions = read_plain(folder, "recorder").get("positions")
    if not isinstance(positions, dict) or not all(type(p) is int and p >= 0 for p in positions.values()):
        raise Damaged(f"{folder.name} does not say how long the logs were.")
    for name, position in positions.items():
        path = run.path / name
        size = path.stat().st_size if path.is_file() else 0
        if size < position:
            raise Damaged(f"{folder.name} expects {position} bytes in {name}, which has {size} (it was cut short).")


def mend(run: RunDirectory, broken: Path) -> str:
    """Say what to do where `broken` cannot be loaded: resume from the newest whole checkpoint before it, or start
    over."""
    checkpoints = Checkpoints(run.path)
    step = int(broken.name.rpartition("-")[2])
    for before in reversed([s for s in checkpoints.steps() if s < step]):
        try:
            check(run, checkpoints.folder(before))
        except Damaged:
            continue
        return f"checkpoint-{before} is whole: fastslow resume {run.path} --checkpoint checkpoint-{before}"
    return f"No whole one is before it; to start over: fastslow resume {run.path} --checkpoint none"


def examine(run: RunDirectory) -> tuple[list[tuple[str, str | None]], str, bool]:
    """Return (file, problem or None) for every checkpoint, log and bundle, what to do, and whether the run is done or
    can be resumed.

    Changes nothing.
    """
    findings: list[tuple[str, str | None]] = []
    checkpoints = Checkpoints(run.path)
    folders = [checkpoints.folder(step) for step in checkpoints.steps()]
    for folder in folders:
        findings.append((folder.name, _problem(lambda folder=folder: check(run, folder))))
    for name in FILES:
        problem = _problem(lambda name=name: deque(jsonl.rows(run.path / name), maxlen=0))
        # A line cut off by a kill is later than the newest checkpoint, and resuming removes the line.
        findings.append((name, f"not all of its lines are JSON: {problem}" if problem else None))
    held = _problem(lambda: refuse_held(run.path))
    status = summary_of(run).get("status")
    findings += _bundle(run.path / "bundle", complete=status == "done")
    if held is not None:
        return findings, f"It is being written right now: {held}", True
    if status == "done":
        broken = ", ".join(name for name, problem in findings if problem)
        return findings, "The run is done." + (f" Of what it kept, not whole: {broken}." if broken else ""), not broken
    if folders and findings[len(folders) - 1][1]:
        return findings, mend(run, folders[-1]), False
    where = f"from {folders[-1].name}" if folders else "from its start, as no checkpoint was made yet"
    return findings, f"The run is {status or 'not finished'}. To go on {where}: fastslow resume {run.path}", True


def _bundle(folder: Path, *, complete: bool) -> list[tuple[str, str | None]]:
    """Return the finding on a bundle; none where there is none, or one that a run is still to complete."""
    if not (folder / BUNDLE).is_file():
        return [("bundle", f"{BUNDLE} is missing")] if complete and folder.is_dir() else []
    problem = _problem(lambda: verified_files(folder))
    known = problem is not None or has_manifest(folder)
    return [("bundle" if known else "bundle (no manifest, as older versions wrote none: not checked)", problem)]


def tidy(run: RunDirectory) -> None:
    """Delete what a finished run leaves when a kill came before it did so itself: checkpoints that served only for
    resuming, and the note of what it does now."""
    LiveFile(run.path).remove()
    config = read_config(run)
    checkpoints = Checkpoints(run.path, keep_every=config.keep_every)
    for newest in checkpoints.steps()[-1:]:
        best = read_plain(checkpoints.folder(newest), "checkpoints").get("best") if config.keep_best else None
        checkpoints.drop_all_but_milestones(best[1] if best else None)


def _problem(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except (FastSlowError, OSError, ValueError) as error:
        return str(error)
    return None


def rewind(run: RunDirectory, start: Path | None) -> None:
    """Bring the run directory to where `start` stood. Later checkpoints are deleted: their steps will be run again."""
    checkpoints = Checkpoints(run.path)
    after = -1 if start is None else int(start.name.rpartition("-")[2])
    for step in checkpoints.steps():
        if step > after:
            discard(checkpoints.folder(step))
    checkpoints.sweep()
    (run.path / "summary.json").unlink(missing_ok=True)
    run.rewind(read_plain(start, "recorder")["positions"] if start else {})


def read_config(run: RunDirectory, **instead: Any) -> FastSlowConfig:
    """Return the run's settings for its current folder; those given in `instead`, unless None, replace the run's
    own."""
    file = run.path / "config.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        given = {name: value for name, value in instead.items() if value is not None}
        here = {"output_dir": str(run.path), **_found(settings, run.path), **given}
        moved: dict[str, Any] = {**settings, **here}
        return FastSlowConfig(**moved)
    except BadInput:
        raise
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"'{file}' is damaged ({type(error).__name__}: {str(error).splitlines()[0]}).") from error


def check_named(run: RunDirectory, config: FastSlowConfig) -> None:
    """Refuse a run whose task has no name: an object in Python, which only who has it can give again."""
    if not config.task and not config.tasks:
        raise BadInput(
            f"the task of '{run.path}' was an object given in Python, which config.yaml cannot name; go on there, with "
            f"fastslow.run.train.resume('{run.path}', task=...)."
        )


def _found(settings: Any, folder: Path) -> dict[str, Any]:
    """Return the settings with paths, as they are after a move of the run with what it names."""

    def find(path: str) -> str:
        return relocated(path, was=settings.get("output_dir"), now=str(folder))

    places = ("model", "from_bundle", "reflection_model")
    found: dict[str, Any] = {name: find(settings[name]) for name in places if settings.get(name)}
    if settings.get("task"):
        found["task"] = with_paths(settings["task"], find)
    if settings.get("tasks"):
        found["tasks"] = [with_paths(name, find) for name in settings["tasks"]]
    return found


def summary_of(run: RunDirectory) -> dict:
    """Return summary.json, or {}. Raises BadInput where the file is damaged."""
    try:
        return run.summary()
    except (ValueError, OSError) as error:
        raise BadInput(f"'{run.path / 'summary.json'}' is damaged ({error}); delete it to resume.") from error
