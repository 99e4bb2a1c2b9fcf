"""The light files of measured runs, which are committed: a run that is there is not run again on any machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

FILES = ("config.yaml", "summary.json", "metrics.jsonl", "evals.jsonl")
PLAN = "comparison.json"
MEASURED = "measured.json"
"""What bundle_measures.py says of a run."""
UNTRAINED = ("reasoning_gym:ransom_note", "reasoning_gym:letter_counting")
"""Tasks of which the base has a good part right after four worked examples (docs/task-accuracy.md)."""


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
            _copy(runs / cell / file, kept / cell / file)
    if plan and (runs / PLAN).is_file():
        _keep_plan(runs / PLAN, kept / PLAN)


def _keep_plan(file: Path, to: Path) -> None:
    """Keep a plan; a part of an experiment that was run later (other seeds, other arms) is added to what is there."""
    plan = json.loads(file.read_text(encoding="utf-8"))
    before = json.loads(to.read_text(encoding="utf-8")) if to.is_file() else {"cells": []}
    cells = {cell["path"]: cell for cell in before["cells"]} | {cell["path"]: cell for cell in plan["cells"]}
    if len(cells) > len(plan["cells"]):
        arms = {cell["arm"] for cell in cells.values()}
        reference = next((arm for arm in ("rl", before["reference"]) if arm in arms), plan["reference"])
        plan |= {"cells": sorted(cells.values(), key=lambda cell: cell["path"]), "reference": reference}
    to.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")


def _copy(file: Path, to: Path) -> None:
    """Copy a text without the folder of this machine that it was made in: it says nothing to anybody else."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("# Made in "))
    to.write_text(text.replace(f"{Path.cwd()}/", ""), encoding="utf-8")


def elsewhere(measured: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what training did to what no task asks for, as columns of a table: means over what was measured."""
    rise = fmean(one["bits_per_byte"] / one["base_bits_per_byte"] - 1 for one in measured)
    change = fmean(
        one["untrained"][task] - one["base_untrained"][task] for one in measured for task in one["untrained"]
    )
    return {
        "bits per byte of prose, rise": f"{rise:+.2%}",
        "KL on neutral prompts": f"{fmean(one['neutral_kl'] for one in measured):.3f}",
        "accuracy on tasks nobody trained on, change": f"{change:+.2f}",
    }
