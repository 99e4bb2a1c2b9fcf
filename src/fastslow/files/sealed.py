"""Write checkpoints that are complete or absent, and verify them before anything is read.

All files of `checkpoint-N` are written to `checkpoint-N.tmp` and synced to the disk; `manifest.json`, with the SHA-256
of each file, comes last; only then does the folder get its name. `files.snapshot` decides what a checkpoint holds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastslow.core.errors import FastSlowError
from fastslow.files import atomic
from fastslow.files.nested_state import dumps

FORMAT = 2
MANIFEST = "manifest.json"
NAME = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")


class Damaged(FastSlowError):
    """Raised for a checkpoint that must not be loaded; the message says why."""


class Checkpoints:
    """Keep the checkpoints of one run directory.

    Args:
        run: the run directory.
        keep_last: how many of the newest checkpoints are kept (>= 1).
        keep_every: checkpoints of steps that this number divides are kept as well; 0: none.
    """

    def __init__(self, run: Path, *, keep_last: int = 2, keep_every: int = 0):
        self.run = run
        self.keep_last = keep_last
        self.keep_every = keep_every

    def steps(self) -> list[int]:
        """Return the steps that have a folder, in order, whether complete or damaged."""
        matches = [NAME.fullmatch(entry.name) for entry in self.run.iterdir()] if self.run.is_dir() else []
        return sorted(int(match[1]) for match in matches if match)

    def folder(self, step: int) -> Path:
        return self.run / f"checkpoint-{step}"

    def begin(self, step: int) -> Path:
        """Make an empty folder to write into."""
        aside = self.run / f"checkpoint-{step}.tmp"
        atomic.remove(aside)
        aside.mkdir()
        return aside

    def commit(self, step: int, about: Mapping[str, Any], written: Mapping[str, Any] = MappingProxyType({})) -> Path:
        """Seal the folder that `begin` made and give it its name; `written` as in `seal`. Raises OSError."""
        aside, target = self.run / f"checkpoint-{step}.tmp", self.folder(step)
        seal(aside, {"step": step, "config": digest(self.run / "config.yaml"), **about}, written)
        atomic.put_in_place(aside, target)
        return target

    def prune(self, best: int | None = None, good: int | None = None, held: Collection[int] = ()) -> None:
        """Delete the checkpoints that no rule keeps, but those that are `held`, because they are being copied."""
        steps = self.steps()
        for step in set(steps) - self.retained(steps, best, good) - set(held):
            atomic.discard(self.folder(step))

    def retained(self, steps: Sequence[int], best: int | None = None, good: int | None = None) -> set[int | None]:
        """Return those of the steps, given in order, whose checkpoints are kept while the run goes on. `good` is the
        step to which the run may still be rolled back."""
        return {*steps[-self.keep_last :], *self.milestones(steps, best), good}

    def drop_all_but_milestones(self, best: int | None = None) -> None:
        """Delete all but the milestones of a finished run: its bundle holds the end, and nothing will be resumed."""
        steps = self.steps()
        for step in set(steps) - self.milestones(steps, best):
            atomic.discard(self.folder(step))
        self.sweep()

    def milestones(self, steps: Collection[int], best: int | None = None) -> set[int]:
        """Return the steps whose checkpoints are kept even when the run is finished."""
        every = {step for step in steps if self.keep_every and step % self.keep_every == 0}
        return every | ({best} & set(steps) if best is not None else set())

    def sweep(self) -> None:
        """Remove the folders that a killed process left incomplete."""
        for entry in self.run.glob("checkpoint-*.tmp"):
            atomic.remove(entry)


def seal(folder: Path, about: Mapping[str, Any], written: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Sync every file, then write the manifest. Raises OSError.

    `written` has the length and SHA-256 of files that were hashed while written, and that the disk already holds.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name not in written:
            atomic.sync(path)
        files[path.name] = written.get(path.name) or {"bytes": path.stat().st_size, "sha256": digest(path)}
    manifest = {"format": FORMAT, **about, "files": files}
    manifest["sha256"] = hashlib.sha256(dumps(manifest, indent=1)).hexdigest()
    with (folder / MANIFEST).open("xb") as file:
        file.write(dumps(manifest, indent=1))
        file.flush()
        atomic.sync(file.fileno())
    atomic.sync(folder)


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint whose every byte is as written. Raises Damaged, which names the first
    difference."""
    try:
        return _verified(folder)
    except OSError as error:
        where = Path(str(error.filename or folder)).name
        raise Damaged(f"{folder.name} cannot be read: {where}: {error.strerror or error}.") from error


def _verified(folder: Path) -> dict[str, Any]:
    def refuse(problem: str) -> Damaged:
        return Damaged(f"{folder.name} is damaged: {problem}.")

    if folder.is_symlink() or not folder.is_dir():
        raise refuse("it is a link, not a folder" if folder.is_symlink() else "it is not a folder")
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            raise refuse(f"{path.name} is not a plain file")
    if not (folder / MANIFEST).exists():
        raise refuse(f"it has no {MANIFEST}, so it was never finished or has lost it")
    manifest = _manifest(folder / MANIFEST, refuse)
    match = NAME.fullmatch(folder.name)
    if match is None or manifest.get("step") != int(match[1]):
        raise refuse(f"it was written as checkpoint-{manifest.get('step')}")
    files = manifest["files"]
    there = {path.name for path in folder.iterdir()} - {MANIFEST}
    if there != set(files):
        missing, added = sorted(set(files) - there), sorted(there - set(files))
        raise refuse(f"{missing[0]} is missing" if missing else f"{added[0]} does not belong to it")
    for name, expected in files.items():
        size = (folder / name).stat().st_size
        if size != expected["bytes"]:
            raise refuse(f"{name} has {size} bytes instead of {expected['bytes']}")
        if digest(folder / name) != expected["sha256"]:
            raise refuse(f"{name} does not hold what was written (SHA-256 differs)")
    return manifest


def _manifest(path: Path, refuse: Any) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise refuse(f"{MANIFEST} is not a manifest") from None
    if type(version) is int and version != FORMAT:
        how = "a newer fastslow: upgrade to it" if version > FORMAT else "an older fastslow: resume it with that one"
        raise Damaged(
            f"{path.parent.name} has format {version}, this fastslow reads {FORMAT}; it was written by {how}."
        )
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    try:
        honest = manifest.get("sha256") == hashlib.sha256(dumps(body, indent=1)).hexdigest()
        honest = honest and content == dumps(manifest, indent=1)
    except ValueError:
        honest = False
    if not honest:
        raise refuse(f"{MANIFEST} does not hold what was written (SHA-256 differs)")
    return manifest


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
