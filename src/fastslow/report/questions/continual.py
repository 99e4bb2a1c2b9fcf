"""Runs through stages of tasks: accuracy after each stage on each task, and the measures that follow from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastslow.metrics import Continual, Interval, measure_continual, over_seeds
from fastslow.metrics.intervals import NOT_NEGATIVE, SHARE
from fastslow.report.questions.compare import Arm, mean_or_none
from fastslow.report.reading.data import RunData
from fastslow.report.reading.values import count, text
from fastslow.streams import has_stages

POSSIBLE = {"average": SHARE, "retained": NOT_NEGATIVE}
Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Stages:
    """Means over seeds: `base[j]` and `after[t][j]` on task j. `late` lists the stages whose last evaluation came
    before their end."""

    tasks: list[str]
    base: list[float | None]
    after: Matrix
    late: list[str]


def stages_of(arm: Arm) -> Stages | None:
    """Return the stages of an arm, or None unless its runs went through several tasks."""
    seeds = _seeds(arm)
    return _mean(seeds) if seeds else None


def measures_of_arm(arm: Arm) -> Continual | None:
    """Return the measures of an arm, or None until every stage of every seed was measured on every task."""
    return _measured(_seeds(arm))


def at_the_end(arm: Arm) -> tuple[float | None, Interval | None]:
    """Return the average over tasks at the end, under what the arm ships, and its 95% interval over seeds."""
    finals = [run.final(run.shipped_context) for run in arm.runs]
    known = [value for value in finals if value is not None]
    whole = len(known) == len(finals)
    sure = over_seeds(lambda seeds: {"average": mean_or_none(seeds)}, known, within=POSSIBLE) if whole else {}
    return mean_or_none(finals), sure.get("average")


def intervals(arm: Arm, reference: Arm | None = None) -> dict[str, Interval]:
    """Return 95% intervals over seeds, by the names of `numbers_of`.

    With a reference, also those of `lead` (the difference in average accuracy at the end), of `forgotten more`, and of
    `times 1`, `times 2`, ..., the acquisition divided by the reference's (see `times`).
    """
    ours = _seeds(arm)
    sure = over_seeds(lambda seeds: numbers_of(_measured(seeds)), ours, within=POSSIBLE)
    theirs = _seeds(reference) if reference is not None else []
    if not ours or not theirs:
        return sure

    def against(a: Sequence[Stages], b: Sequence[Stages]) -> dict[str, float | None]:
        one, other = _measured(a), _measured(b)
        if one is None or other is None:
            return {}
        pairs = zip(one.acquisition, other.acquisition, strict=False)
        return {
            "lead": one.average - other.average,
            "forgotten more": (one.forgetting_since_peak or 0.0) - (other.forgetting_since_peak or 0.0),
            **{f"times {at}": times(*pair) for at, pair in enumerate(pairs, start=1)},
        }

    return sure | over_seeds(against, ours, theirs, ratios=[f"times {at}" for at in range(1, len(ours[0].tasks) + 1)])


def numbers_of(measures: Continual | None) -> dict[str, float | None]:
    """Return the measures by name; `acquisition 1` is that of the first stage."""
    if measures is None:
        return {}
    rest: dict[str, Any] = {name: value for name, value in asdict(measures).items() if name != "acquisition"}
    return {**rest, **{f"acquisition {at}": value for at, value in enumerate(measures.acquisition, start=1)}}


def times(ours: float, theirs: float) -> float | None:
    """Divide acquisition by the reference's: infinity where only the reference learned nothing, None where neither
    learned."""
    if theirs > 0:
        return ours / theirs
    return math.inf if ours > 0 else None


def normalised(arm: Arm, arms: Sequence[Arm]) -> list[float | None]:
    """Return the acquisition of each stage as a share of the largest gain over the base of any arm on its task."""
    own, all_stages = measures_of_arm(arm), [stages for one in arms if (stages := stages_of(one)) is not None]
    if own is None:
        return []
    shares: list[float | None] = []
    for j, gain in enumerate(own.acquisition):
        tops = [
            value - base
            for stages in all_stages
            if j < len(stages.base) and (base := stages.base[j]) is not None
            for row in stages.after
            if (value := row[j]) is not None
        ]
        most = max(tops, default=0.0)
        shares.append(gain / most if most > 0 else None)
    return shares


def _seeds(arm: Arm) -> list[Stages]:
    """Return the matrix of each run, or nothing unless all runs went through the same several tasks."""
    tasks = arm.runs[0].tasks
    stages = [_matrix(run, tasks) for run in arm.runs] if len(tasks) > 1 else []
    return [one for one in stages if one is not None] if None not in stages else []


def _mean(seeds: Sequence[Stages]) -> Stages:
    tasks = seeds[0].tasks
    base = [mean_or_none([one.base[j] for one in seeds]) for j in range(len(tasks))]
    after = [[mean_or_none([one.after[t][j] for one in seeds]) for j in range(len(tasks))] for t in range(len(tasks))]
    return Stages(tasks, base, after, [note for one in seeds for note in one.late])


def _measured(seeds: Sequence[Stages]) -> Continual | None:
    if not seeds:
        return None
    stages = _mean(seeds)
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
        # At the end of the run the last evaluation counts: a mode may still change its contexts at that step.
        last = inside[-1] if inside else None
        if last is not None and last.step < ends:
            late.append(f"{run.name}: stage {stage + 1} was last measured at step {last.step}, it ends at {ends}")
        after.append([last.values.get((t, run.shipped_context, "accuracy")) if last else None for t in tasks])
    start = next((p for p in run.evaluations if p.step == 0), None)
    base = [start.values.get((t, "seed", "accuracy")) if start else run.final("base_seed", t) for t in tasks]
    return Stages(tasks, base, after, late)
