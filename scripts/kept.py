"""The light files of measured runs, which are committed: a run that is there is not run again on any machine."""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = ("config.yaml", "summary.json", "metrics.jsonl", "evals.jsonl")
PLAN = "comparison.json"


def done(folder: Path) -> set[str]:
    """Return the names of the finished runs under `folder`."""
    return {path.parent.name for path in folder.glob("*/summary.json") if '"done"' in path.read_text(encoding="utf-8")}


def fetch(kept: Path, runs: Path, but: tuple[str, ...] = ()) -> None:
    """Let runs measured elsewhere count as done here; without those named in `but`, whose weights are needed."""
    for cell in sorted(done(kept) - done(runs) - set(but)):
        shutil.copytree(kept / cell, runs / cell, dirs_exist_ok=True)


def keep(runs: Path, kept: Path, *, plan: bool = True) -> None:
    """Keep the light files of finished runs, and the plan that names them."""
    kept.mkdir(parents=True, exist_ok=True)
    for cell in done(runs):
        (kept / cell).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copyfile(runs / cell / file, kept / cell / file)
    if plan and (runs / PLAN).is_file():
        shutil.copyfile(runs / PLAN, kept / PLAN)
