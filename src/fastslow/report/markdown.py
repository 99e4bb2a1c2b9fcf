"""A report as Markdown: readable in a terminal, in a review, in a note."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..metrics import Efficiency
from .compare import Arm, Comparison, compare, kl_at, matched_accuracy
from .data import AXES, RunData


def markdown(runs: Sequence[RunData]) -> str:
    """The whole report: verdict, notices, then a section for each task."""
    comparisons = compare(runs)
    parts = ["# fastslow report", *(verdict(c) for c in comparisons)]
    notices = [f"- **{_text(run.name)}**: {_text(notice)}" for run in runs for notice in run.notices]
    if notices:
        parts.append("\n".join(["Not everything is there:", "", *notices]))
    for comparison in comparisons:
        parts += [f"## {_text(comparison.task)}", f"Model: {_text(comparison.model)}", _runs(comparison)]
        if comparison.reference is not None and len(comparison.arms) > 1:
            parts += ["### Cost of plain RL's best accuracy, RL / arm", _efficiencies(comparison)]
            parts += ["### KL to the base at like accuracy", _kl(comparison)]
        parts += ["### Ceiling by sigmoid fit", _ceilings(comparison)]
    return "\n\n".join(parts) + "\n"


def verdict(comparison: Comparison) -> str:
    """Did it pay? One sentence, from what was measured and nothing else."""
    reference = comparison.reference
    arm = next((a for a in comparison.arms if a.mode == "fst"), None)
    if reference is None or arm is None:
        missing = "plain RL" if reference is None else "fst"
        return f"Whether both channels pay on {_text(comparison.task)} is open: no run of {missing} is here."
    steps, rollouts = (arm.efficiency.get(axis) for axis in ("steps", "rollouts"))
    if steps is None or rollouts is None:
        return f"Whether both channels pay on {_text(comparison.task)} is open: nothing was measured yet."
    seeds = f"{len(arm.runs)} against {len(reference.runs)} seeds"
    if steps.ratio is None:
        return (
            f"Not on {_text(comparison.task)}: fst never came to plain RL's best accuracy {steps.target:.2f} ({seeds})."
        )
    spent = f"{_fewer(steps)} optimiser steps and {_fewer(rollouts)} rollouts"
    return (
        f"On {_text(comparison.task)} fst came to plain RL's best accuracy {steps.target:.2f} with {spent} ({seeds})."
    )


def _runs(comparison: Comparison) -> str:
    head = ("run", "status", "steps", "base: seed / lead", "trained: seed / lead / mean", "KL: seed / lead", "rollouts")
    rows = []
    for run in (run for arm in comparison.arms for run in arm.runs):
        last = run.curve(context="seed"), run.curve(context="lead")
        trained = [run.final(name) for name in ("seed", "lead", "mean")]
        if not run.summary:
            trained = [*(curve.y[-1] if len(curve) else None for curve in last), None]
        steps = run.summary.get("steps", max((s for curve in last for s in curve.steps), default=0))
        rows.append(
            (
                f"`{_text(run.name)}`", _text(run.status), str(steps),
                _numbers(run.final("base_seed"), run.final("base_lead")), _numbers(*trained),
                _numbers(run.final_kl("seed"), run.final_kl("lead")), _count(run.spent("rollouts")),
            )
        )  # fmt: skip
    return _table(head, rows)


def _efficiencies(comparison: Comparison) -> str:
    axes = [axis for axis in AXES if axis != "reflection"]
    rows = [
        (arm.mode, *(_ratio(arm.efficiency.get(axis), interval=True) for axis in axes))
        for arm in comparison.arms if arm is not comparison.reference
    ]  # fmt: skip
    return _table(("arm", *(AXES[axis] for axis in axes)), rows)


def _kl(comparison: Comparison) -> str:
    reference, rows = comparison.reference, []
    assert reference is not None
    for arm in (arm for arm in comparison.arms if arm is not reference):
        level = matched_accuracy(reference, arm)
        ours, theirs = (kl_at(side, level) if level is not None else None for side in (arm, reference))
        share = ours / theirs if ours is not None and theirs else None
        rows.append(
            (arm.mode, _numbers(level), _numbers(ours), _numbers(theirs), "n/a" if share is None else f"{share:.0%}")
        )
    return _table(("arm", "accuracy", "its KL", "RL's KL", "share"), rows)


def _ceilings(comparison: Comparison) -> str:
    return _table(("arm", "ceiling", "95% interval"), [(arm.mode, *_ceiling(arm)) for arm in comparison.arms])


def _ceiling(arm: Arm) -> tuple[str, str]:
    fit = arm.asymptote
    if fit is None or fit.a is None:
        return fit.reason if fit else "n/a", ""
    return f"{fit.a:.2f}", f"{fit.low:.2f} to {fit.high:.2f}"


def _fewer(found: Efficiency) -> str:
    if found.ratio is None or found.ratio == 1.0:
        return "as many" if found.ratio else "not enough"
    return f"{_times(found.ratio)} fewer" if found.ratio > 1 else f"{_times(1 / found.ratio)} more"


def _ratio(found: Efficiency | None, *, interval: bool = False) -> str:
    if found is None:
        return "n/a"
    if found.ratio is None:
        return "not reached"
    shown = _times(found.ratio)
    if interval and found.low is not None and found.high is not None:
        shown += f" ({'not reached' if found.low == 0 else _times(found.low)} to {_times(found.high)})"
    return shown


def _times(ratio: float) -> str:
    return "infinitely" if math.isinf(ratio) else f"{ratio:.1f}x"


def _numbers(*values: float | None) -> str:
    return " / ".join("n/a" if value is None else f"{value:.2f}" for value in values)


def _count(value: int | None) -> str:
    return "n/a" if value is None else f"{value:,}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """Names come from files: nothing in them may end a cell, a code span or a line, or be markup."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
