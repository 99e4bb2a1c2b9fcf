"""Runs through stages of tasks: accuracy after each stage on each task, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from ..metrics import Continual, measure_continual
from ..streams import has_stages
from .compare import Arm, mean_or_none
from .data import RunData, count, text

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Stages:
    """Mean over seeds: `base[j]` and `after[t][j]` on task j. `late` tells stages whose last evaluation came earlier
    than their end."""

    tasks: list[str]
    base: list[float | None]
    after: Matrix
    late: list[str]


def stages_of(arm: Arm) -> Stages | None:
    """None unless the runs went through several tasks."""
    tasks = arm.runs[0].tasks
    found = [_matrix(run, tasks) for run in arm.runs]
    if len(tasks) < 2 or any(one is None for one in found):
        return None
    known = [one for one in found if one is not None]
    base = [mean_or_none([one.base[j] for one in known]) for j in range(len(tasks))]
    after = [[mean_or_none([one.after[t][j] for one in known]) for j in range(len(tasks))] for t in range(len(tasks))]
    return Stages(tasks, base, after, [note for one in known for note in one.late])


def measures_of_arm(arm: Arm) -> Continual | None:
    """None until every stage of every seed was measured on every task."""
    stages = stages_of(arm)
    if stages is None:
        return None
    base = [value for value in stages.base if value is not None]
    after = [[value for value in row if value is not None] for row in stages.after]
    if len(base) < len(stages.tasks) or any(len(row) < len(stages.tasks) for row in after):
        return None
    return measure_continual(after, base)


def _matrix(run: RunData, tasks: list[str]) -> Stages | None:
    length, stream = count(run.config.get("stage_steps")), text(run.config.get("stream"), "")
    if not length or run.tasks != tasks or not has_stages(stream):
        return None
    late = []
    after: Matrix = []
    for stage in range(len(tasks)):
        ends = (stage + 1) * length
        inside = [p for p in run.evaluations if stage * length < p.step <= ends]
        # The last evaluation at the end of the whole run counts: a mode may still change its contexts at that step.
        last = inside[-1] if inside else None
        if last is not None and last.step < ends:
            late.append(f"{run.name}: stage {stage + 1} was last measured at step {last.step}, it ends at {ends}")
        after.append([last.values.get((t, run.shipped_context, "accuracy")) if last else None for t in tasks])
    start = next((p for p in run.evaluations if p.step == 0), None)
    base = [start.values.get((t, "seed", "accuracy")) if start else run.final("base_seed", t) for t in tasks]
    return Stages(tasks, base, after, late)
