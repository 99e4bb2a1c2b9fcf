"""Write checkpoints that are complete or absent, and verify them before anything is read.

All files of `checkpoint-N` are written to `checkpoint-N.tmp` and synced to the disk; `manifest.json`, with the SHA-256
of each file, comes last; only then does the folder get its name. `files.snapshot` decides what a checkpoint holds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastslow.files import atomic, manifest
from fastslow.files.manifest import digest, seal

FORMAT = 3
NAME = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")


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
        seal(aside, {"format": FORMAT, "step": step, "config": digest(self.run / "config.yaml"), **about}, written)
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


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint whose every byte is as written. Raises Damaged, which names the first
    difference."""
    return manifest.verify(folder, format=FORMAT, older="an older fastslow: resume it with that one", fits=_misnamed)


def _misnamed(folder: Path, about: Mapping[str, Any]) -> str:
    """Return what is wrong with the name of a checkpoint; '' for nothing."""
    match = NAME.fullmatch(folder.name)
    named = match is not None and about.get("step") == int(match[1])
    return "" if named else f"it was written as checkpoint-{about.get('step')}"
