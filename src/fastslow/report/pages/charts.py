"""Data that the script of the page draws: plain numbers and names, without markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from fastslow.core.measurement import CONTEXT_TITLES
from fastslow.metrics.intervals import NOT_NEGATIVE, SHARE
from fastslow.report.questions.compare import Arm, Comparison
from fastslow.report.questions.series import (
    FAST,
    SLOW,
    Band,
    Sample,
    acceptance,
    along,
    band,
    context_lengths,
    evaluated,
)
from fastslow.report.reading.data import AXES, CONTEXTS, RunData

CONTEXT_NAMES = {"shipped": "as shipped", **CONTEXT_TITLES}


# Quantities of evaluations, each with the chart that shows it: training lines have an entropy of their own.
EVALUATED = {"accuracy": "accuracy", "fully_right": "fully_right", "kl": "kl", "entropy": "policy_entropy"}


@dataclass(frozen=True)
class Chart:
    """One picture. `group` is the section of the page; the reader chooses context and task of `evaluated` charts."""

    key: str
    title: str
    y: str
    group: str = "curves"
    x: str = "axis"
    evaluated: bool = False
    share: bool = False


CHARTS = (
    Chart("accuracy", "Accuracy", "share of held-out questions", evaluated=True, share=True),
    Chart("fully_right", "Fully right", "share of held-out answers with full reward", evaluated=True, share=True),
    Chart("kl", "Drift from the base", "KL to base, nats per token", evaluated=True),
    Chart("matched", "Drift at like accuracy", "KL to base, nats per token", x="accuracy", evaluated=True),
    Chart("reward", "Reward in training", "mean reward of a step", share=True),
    Chart("policy_entropy", "Entropy of the policy", "nats per token, held-out questions", evaluated=True),
    Chart("entropy", "Entropy in training", "nats per token, rollouts that are learned from"),
    Chart("flat", "Groups with nothing to learn", "share of groups with equal rewards", share=True),
    Chart("length", "Length of answers", "tokens"),
    Chart("frontier", "Frontier", "contexts best on some anchor example", group="fast"),
    Chart("acceptance", "Acceptance", "share of proposals accepted", group="fast", share=True),
    Chart("metric_calls", "Rollouts of a fast phase", "metric calls", group="fast"),
    Chart("context_length", "Length of accepted contexts", "characters", group="fast"),
    Chart("lead_score", "Lead context on its anchor set", "mean score", group="fast", share=True),
)
# Titles and units where rewards lie between 0 and 1 as well: a mean reward is then no share of questions.
GRADED = {
    "accuracy": ("Mean reward", "mean reward of held-out answers"),
    "matched": ("Drift at like mean reward", "KL to base, nats per token"),
}
SHARES = frozenset(chart.key for chart in CHARTS if chart.share)


def payload(comparison: Comparison) -> dict[str, Any]:
    """Return arms, charts and series of one comparison, ready for JSON. Charts without a series are left out."""
    series = [one for at, arm in enumerate(comparison.arms) for one in _series(arm, at, comparison.tasks)]
    if not comparison.graded:  # the share fully right is the accuracy
        series = [one for one in series if one["chart"] != "fully_right"]
    drawn = {one["chart"] for one in series}
    if "kl" in drawn:
        drawn.add("matched")
    shown = [_named(chart, graded=comparison.graded) for chart in CHARTS if chart.key in drawn]
    # The first colour belongs to the reference: without a reference it stays unused.
    shift = 0 if comparison.reference is not None else 1
    return {
        "arms": [
            {"name": arm.label, "seeds": len(arm.runs), "style": at + shift} for at, arm in enumerate(comparison.arms)
        ],
        "charts": [chart.__dict__ for chart in shown],
        "axes": AXES,
        "measure": comparison.measure,
        "series": series,
    }


def _named(chart: Chart, *, graded: bool) -> Chart:
    title, y = GRADED[chart.key] if graded and chart.key in GRADED else (chart.title, chart.y)
    return replace(chart, title=title, y=y)


def contexts_of(comparison: Comparison) -> dict[str, str]:
    """Return the kinds of context to choose from, with their titles."""
    contexts = {context for run in comparison.runs for point in run.evaluations for _, context, _ in point.values}
    if not any(run.channels.fast for run in comparison.runs):
        contexts = set()  # the seed context is the only one, and the shipped one
    return {key: name for key, name in CONTEXT_NAMES.items() if key == "shipped" or key in contexts}


def _series(arm: Arm, at: int, tasks: list[str]) -> list[dict[str, Any]]:
    series = []
    for task in [""] + (tasks if len(tasks) > 1 else []):
        for context in ("shipped", *CONTEXTS):
            for quantity, key in EVALUATED.items():
                samples = [evaluated(run, quantity, context, task) for run in arm.runs]
                series += _drawn(arm, at, key, samples, context=context, task=task)
    for name, key in SLOW.items():
        series += _drawn(arm, at, key, [along(run, "slow", name) for run in arm.runs])
    for name, key in FAST.items():
        series += _drawn(arm, at, key, [along(run, "fast", name) for run in arm.runs])
    others: dict[str, Callable[[RunData], list[Sample]]] = {"acceptance": acceptance, "context_length": context_lengths}
    for key, read in others.items():
        series += _drawn(arm, at, key, [read(run) for run in arm.runs])
    return series


def _drawn(arm: Arm, at: int, chart: str, samples: list[list[Sample]], **where: str) -> list[dict[str, Any]]:
    whole = band(samples, SHARE if chart in SHARES else NOT_NEGATIVE)
    if whole is None:
        return []
    return [{"chart": chart, "arm": at, **where, **_band(whole), "runs": _runs(arm, samples, whole)}]


def _band(curve: Band) -> dict[str, Any]:
    one = {
        "step": curve.steps,
        "x": {axis: _numbers(values) for axis, values in curve.spent.items() if any(v is not None for v in values)},
        "y": _numbers(curve.y),
    }
    if curve.seeds > 1:
        one |= {"low": _numbers(curve.low), "high": _numbers(curve.high)}
    return one


class SeedLine(TypedDict):
    """The curve of one seed, as the script of the page reads it."""

    name: str
    x: dict[str, list[float | None]]
    y: list[float | None]
    step: list[int]


def _runs(arm: Arm, samples: list[list[Sample]], whole: Band) -> list[SeedLine]:
    """Return the curves of single seeds, unless the only seed is the mean itself."""
    if len(samples) == 1 and len(samples[0]) == len(whole.steps):
        return []
    return [
        {
            "name": run.name,
            "x": {axis: _numbers([sample.spent.get(axis) for sample in one]) for axis in AXES},
            "y": _numbers([sample.y for sample in one]),
            "step": [sample.key[0] for sample in one],
        }
        for run, one in zip(arm.runs, samples, strict=True)
        if one
    ]


def _numbers(values: list[Any]) -> list[float | None]:
    """Round to four figures: more than a screen shows, in a page of half the size."""
    return [None if value is None else float(f"{value:.4g}") if abs(value) < 1e4 else round(value) for value in values]
