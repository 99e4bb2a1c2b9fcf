"""A run directory as a report reads it. Nothing here raises for what a file holds: it becomes a notice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput
from ..metrics import Curve

AXES = {
    "steps": "optimiser steps",
    "rollouts": "rollouts generated",
    "tokens": "tokens generated",
    "seconds": "wall seconds",
    "reflection": "reflection tokens",
}


@dataclass
class RunData:
    """What one run's files say so far. `notices` tell what is missing or could not be read."""

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evals: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def mode(self) -> str:
        return str(self.config.get("mode", "unknown"))

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def task(self) -> str:
        return str(self.summary.get("task") or self.config.get("task", "unknown"))

    @property
    def model(self) -> str:
        return str(self.config.get("model", "unknown"))

    @property
    def status(self) -> str:
        return str(self.summary.get("status", "unfinished"))

    @property
    def shipped_context(self) -> str:
        """The context an arm is judged under: what it would ship. RL has only the seed context."""
        return "seed" if self.mode == "rl" else "lead"

    def curve(self, axis: str = "steps", quantity: str = "accuracy", context: str | None = None) -> Curve:
        """Accuracy or KL of the trained weights along one of AXES."""
        key = f"eval_{context or self.shipped_context}_{quantity}"
        points, reflection = [], 0
        for row in self.metrics:
            if row.get("phase") == "fast":
                reflection += sum(
                    number(row.get(f"fst/fast/lm_{kind}_tokens")) or 0 for kind in ("prompt", "completion")
                )
            if row.get("phase") == "eval" and isinstance(row.get("step"), int):
                spent = {
                    "steps": row["step"],
                    "rollouts": _generated(row.get("rollouts")),
                    "tokens": _generated(row.get("tokens")),
                    "seconds": number(row.get("wall_s")),
                    "reflection": reflection,
                }
                points.append((row["step"], spent[axis], number(row.get(key))))
        return Curve.of(points)

    def final(self, name: str) -> float | None:
        """An accuracy of summary.json: base_seed, base_lead, seed, lead, mean."""
        return number(_mapping(self.summary.get("accuracy")).get(name))

    def final_kl(self, context: str) -> float | None:
        return number(_mapping(self.summary.get("kl_to_base")).get(context))

    def spent(self, name: str) -> int | None:
        """`rollouts` or `tokens` generated, fast channel charged."""
        return _generated(self.summary.get(name) or (self.metrics[-1].get(name) if self.metrics else None))


def load_run(path: str | Path) -> RunData:
    """Read what is there. Raises BadInput only where there is no run at all."""
    run = RunData(Path(path))
    if not run.path.is_dir() or not (run.path / "config.yaml").is_file():
        raise BadInput(f"'{path}' holds no run (no config.yaml); give a directory written by 'fastslow train'.")
    try:
        run.config = _mapping(yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        run.notices.append(f"config.yaml cannot be read ({type(error).__name__})")
    if not (run.path / "summary.json").exists():
        run.notices.append("not finished: no summary.json, the numbers are those of the latest evaluation")
    else:
        try:
            run.summary = _mapping(json.loads((run.path / "summary.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            run.notices.append(f"summary.json cannot be read ({type(error).__name__})")
    if run.summary and run.status != "done":
        run.notices.append(run.status)
    run.metrics, run.evals = _lines(run, "metrics.jsonl"), _lines(run, "evals.jsonl")
    if not any(row.get("phase") == "eval" for row in run.metrics):
        run.notices.append("no evaluation yet")
    return run


def number(value: Any) -> float | None:
    """A finite number, or None for anything else a file may hold in its place."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None  # false for NaN and infinity


def _generated(counts: Any) -> int | None:
    slow, fast = (number(_mapping(counts).get(channel)) for channel in ("slow", "fast"))
    return None if slow is None or fast is None else int(slow + fast)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _lines(run: RunData, name: str) -> list[dict[str, Any]]:
    try:
        lines = (run.path / name).read_bytes().split(b"\n")
    except OSError as error:
        run.notices.append(f"{name} cannot be read ({error.strerror})")
        return []
    rows, bad = [], []
    for at, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError
            rows.append(row)
        except (ValueError, RecursionError):
            bad.append(at)
    if bad:
        run.notices.append(f"{name}: {len(bad)} damaged lines left out, line {bad[0]} first")
    return rows
