"""Arms side by side: runs of one task in several modes and seeds, against plain RL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from ..metrics import Asymptote, Efficiency, efficiency, fit_asymptote
from ..metrics.curves import mean_curve
from .data import AXES, RunData

REFERENCE = "rl"


@dataclass
class Arm:
    """All runs of one mode on one task."""

    mode: str
    runs: list[RunData]
    efficiency: dict[str, Efficiency | None] = field(default_factory=dict)
    asymptote: Asymptote | None = None

    def final(self, name: str) -> float | None:
        """Mean over seeds; None unless every one has it."""
        values = [run.final(name) for run in self.runs]
        known = [v for v in values if v is not None]
        return mean(known) if values and len(known) == len(values) else None


@dataclass
class Comparison:
    """The arms of one task and model; the reference, plain RL, first where there is one."""

    task: str
    model: str
    arms: list[Arm]

    @property
    def reference(self) -> Arm | None:
        return next((arm for arm in self.arms if arm.mode == REFERENCE), None)


def compare(runs: Sequence[RunData]) -> list[Comparison]:
    """One comparison for each task and model, in the order of the runs given."""
    kinds = list(dict.fromkeys((run.task, run.model) for run in runs))
    return [_compare([run for run in runs if (run.task, run.model) == kind]) for kind in kinds]


def kl_at(arm: Arm, accuracy: float) -> float | None:
    """Mean KL over seeds, under the context the arm ships, at the first evaluation that came to `accuracy`; None
    unless every seed got there."""
    found = []
    for run in arm.runs:
        accuracies, kls = run.curve(), run.curve(quantity="kl")
        step = next((s for s, y in zip(accuracies.steps, accuracies.y, strict=True) if y >= accuracy), None)
        kl = dict(zip(kls.steps, kls.y, strict=True)).get(step) if step is not None else None
        if kl is None:
            return None
        found.append(kl)
    return mean(found) if found else None


def matched_accuracy(reference: Arm, arm: Arm) -> float | None:
    """The highest accuracy that every seed of both arms came to."""
    tops = [max(run.curve().y, default=None) for side in (reference, arm) for run in side.runs]
    known = [top for top in tops if top is not None]
    return min(known) if known and len(known) == len(tops) else None


def _compare(runs: Sequence[RunData]) -> Comparison:
    modes = sorted({run.mode for run in runs}, key=lambda mode: (mode != REFERENCE, mode))
    arms = [Arm(mode, sorted((r for r in runs if r.mode == mode), key=lambda r: str(r.seed))) for mode in modes]
    comparison = Comparison(runs[0].task, runs[0].model, arms)
    for arm in arms:
        arm.asymptote = fit_asymptote(mean_curve([run.curve() for run in arm.runs]))
        if comparison.reference is not None and arm.mode != REFERENCE:
            sides = comparison.reference.runs, arm.runs
            for axis in AXES:
                if axis != "reflection":  # RL spends none: there is no ratio
                    arm.efficiency[axis] = efficiency(*([run.curve(axis) for run in side] for side in sides))
    return comparison
