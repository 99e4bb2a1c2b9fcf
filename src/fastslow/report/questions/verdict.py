"""Did it pay? One sentence and three numbers, from measurements alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import mean

from fastslow.core.modes import CANDIDATE
from fastslow.metrics import Efficiency
from fastslow.report.pages import formats
from fastslow.report.questions.compare import Arm, Comparison
from fastslow.report.questions.continual import intervals, measures_of_arm
from fastslow.report.questions.plasticity import areas
from fastslow.report.questions.series import bands_of

FEW_SEEDS = 3
KEPT = 0.95  # plasticity of at least this share of the base's counts as kept


@dataclass(frozen=True)
class Figure:
    """One number of the first screen: the value, its label, and a note on its uncertainty."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Headline:
    """`answer` is one to three words, `sentence` the reason, `figures` at most three numbers."""

    answer: str
    sentence: str
    figures: list[Figure] = field(default_factory=list)
    question: str = "Did it pay?"


def headline(comparison: Comparison) -> Headline:
    """Return the first screen of one comparison. The answer is 'Open' where the files do not decide."""
    if comparison.kind == "plasticity":
        return replace(_plasticity(comparison), question="Was plasticity kept?")
    if comparison.kind == "continual":
        return _continual(comparison)
    return _efficiency(comparison)


def candidate(comparison: Comparison) -> Arm | None:
    """Return the arm that the question is about: that of the candidate mode, else the first of its variants."""
    arms = [arm for arm in comparison.others if arm.channels.role == "candidate"]
    return next((arm for arm in arms if arm.label == arm.mode), arms[0] if arms else None)


def few_seeds(comparison: Comparison) -> bool:
    """Return whether the arms of the verdict have too few seeds for a plain yes or no."""
    sides = [arm for arm in (comparison.reference, candidate(comparison)) if arm is not None]
    return any(len(arm.runs) < FEW_SEEDS for arm in sides)


def seeds_of(arm: Arm, reference: Arm) -> str:
    return f"{len(arm.runs)} against {formats.seeds(len(reference.runs))}"


def _efficiency(comparison: Comparison) -> Headline:
    reference, arm = comparison.reference, candidate(comparison)
    if reference is None or arm is None:
        missing = comparison.reference_name if reference is None else CANDIDATE.name
        return Headline("Open", f"Whether both channels pay is open: no run of {missing} is here.", _ends(comparison))
    steps, rollouts = (arm.efficiency.get(axis) for axis in ("steps", "rollouts"))
    if steps is None or rollouts is None:
        return Headline("Open", "Whether both channels pay is open: nothing was measured yet.", _ends(comparison))
    if steps.reference_x == 0:
        return _no_rise(comparison, reference, arm, steps.target)
    few = few_seeds(comparison)
    best = f"{comparison.reference_name}'s best accuracy {steps.target:.2f}"
    figures = [_cost(steps, "optimiser steps", best), _cost(rollouts, "rollouts, all of them charged", best)]
    figures.append(_drift(comparison, arm))
    if steps.ratio is None:
        sentence = f"{arm.label} never came to {best} ({seeds_of(arm, reference)})."
        return Headline("It seems not" if few else "No", sentence, figures)
    spent = f"{_fewer(steps)} optimiser steps and {_fewer(rollouts)} rollouts"
    seconds = arm.efficiency.get("seconds")
    if seconds is not None and seconds.ratio is not None and seconds.ratio < 1:  # say so in the sentence
        spent += f", but {_fewer(seconds)} wall seconds"
    sentence = f"{arm.label} came to {best} with {spent} ({seeds_of(arm, reference)})"
    own = arm.best()
    sentence += f", and to {own:.2f} in all." if own is not None and own > steps.target else "."
    return Headline(_answer(steps, rollouts, few=few), sentence, figures)


def _no_rise(comparison: Comparison, reference: Arm, arm: Arm, start: float) -> Headline:
    """Answer where the reference never rose above its start: its best accuracy cost nothing, and nothing can be
    saved."""
    name, few = comparison.reference_name, few_seeds(comparison)
    band = bands_of(arm, "accuracy")
    best = max(range(len(band.y)), key=band.y.__getitem__) if band is not None else None
    top, low = (band.y[best], band.low[best]) if band is not None and best is not None else (start, start)
    figures = [
        Figure(f"{top:.2f}", f"best accuracy of {arm.label}", formats.seeds(len(arm.runs))),
        Figure(f"{start:.2f}", f"best accuracy of {name}, at its start", formats.seeds(len(reference.runs))),
        Figure("open", f"cost against {name}'s", "no rise to compare"),
    ]
    sentence = (
        f"{name[0].upper()}{name[1:]} never rose above its start of {start:.2f}, so there is no cost to compare; "
        f"{arm.label} came to {top:.2f} ({seeds_of(arm, reference)})."
    )
    if top <= start:
        return Headline("It seems not" if few else "No", sentence, figures)
    return Headline("Yes" if low > start and not few else "It seems so", sentence, figures)


def _answer(steps: Efficiency, rollouts: Efficiency, *, few: bool) -> str:
    better = [efficiency.ratio is not None and efficiency.ratio > 1 for efficiency in (steps, rollouts)]
    sure = not few and all(efficiency.low is not None and efficiency.low > 1 for efficiency in (steps, rollouts))
    if all(better):
        return "Yes" if sure else "It seems so"
    if any(better):
        return "In part"
    return "It seems not" if few else "No"


def _cost(efficiency: Efficiency, what: str, best: str) -> Figure:
    if efficiency.ratio is None:
        return Figure("not reached", f"{what} to {best}")
    if efficiency.low is None or efficiency.high is None:
        note = "one seed on a side: no interval"
    else:
        low = "not reached" if efficiency.low == 0 else formats.times(efficiency.low)
        note = f"95% interval over seeds: {low} to {formats.times(efficiency.high)}"
    if math.isinf(efficiency.ratio):
        return Figure("no", f"{what} needed to {best}", note)
    if efficiency.ratio == 1:
        return Figure("as many", f"{what} to {best}", note)
    more = efficiency.ratio < 1
    value = formats.times(1 / efficiency.ratio if more else efficiency.ratio)
    if more and efficiency.low is not None and efficiency.high is not None:
        note += ", counted as fewer"
    return Figure(value, f"{'more' if more else 'fewer'} {what}, to {best}", note)


def _drift(comparison: Comparison, arm: Arm) -> Figure:
    name, drift = comparison.reference_name, arm.drift
    if drift is None or drift.share is None:
        return Figure(
            "open", f"drift from the base (KL) against {name}'s at like accuracy", "not measured on both sides"
        )
    note = f"{drift.other_kl:.2f} against {drift.reference_kl:.2f} nats a token"
    if drift.low is not None and drift.high is not None:
        note += f"; 95% interval over seeds: {drift.low:.0%} to {drift.high:.0%}"
    label = f"of {name}'s drift from the base (KL), at accuracy {drift.accuracy:.2f}"
    return Figure(formats.percent(drift.share), label, note)


def _ends(comparison: Comparison) -> list[Figure]:
    """Answer without a comparison: the accuracy that each arm reached."""
    figures = []
    for arm in comparison.arms[:3]:
        ends = [run.curve().y[-1] for run in arm.runs if len(run.curve())]
        value = formats.decimal(mean(ends)) if ends else "open"
        figures.append(Figure(value, f"accuracy of {arm.label} at its latest evaluation", formats.seeds(len(arm.runs))))
    return figures


def _plasticity(comparison: Comparison) -> Headline:
    reference, by_arm = comparison.reference, areas(comparison)
    if reference is None or not comparison.others:
        missing = f"'{comparison.reference_label}'" if reference is None else "another checkpoint"
        return Headline(
            "Open", f"Whether plasticity was kept is open: no run from {missing} is here.", _ends(comparison)
        )
    shares = {arm.label: by_arm[arm.label].ratio for arm in comparison.others}
    known = {label: share for label, share in shares.items() if share is not None}
    figures = [
        Figure(formats.percent(share) if share is not None else "open", f"of the base's mean accuracy, {label}",
               "area under the accuracy curve; " + _interval(by_arm[label].sure.get("ratio"), formats.percent))
        for label, share in list(shares.items())[:3]
    ]  # fmt: skip
    if not known:
        return Headline("Open", "Whether plasticity was kept is open: nothing was measured yet.", figures)
    listed = ", ".join(f"{share:.0%} {label}" for label, share in known.items())
    reached = [share >= KEPT for share in known.values()]
    few = any(len(arm.runs) < FEW_SEEDS for arm in comparison.arms)
    bounds = [by_arm[label].sure.get("ratio") for label in known]
    if all(reached):
        sure = not few and all(bound is not None and bound[0] >= KEPT for bound in bounds)
        answer = "Kept" if sure else "It seems kept"
    elif any(reached):
        answer = "Kept in part"
    else:
        sure = not few and all(bound is not None and bound[1] < KEPT for bound in bounds)
        answer = "Lost in part" if sure else "It seems lost in part"
    return Headline(
        answer,
        f"Trained afresh, runs come to this share of the base's mean accuracy along the way: {listed} "
        f"({formats.seeds(min(len(arm.runs) for arm in comparison.arms))} each).",
        figures,
    )


def _continual(comparison: Comparison) -> Headline:
    reference, arm = comparison.reference, candidate(comparison)
    name = comparison.reference_name
    if reference is None or arm is None:
        missing = name if reference is None else CANDIDATE.name
        return Headline("Open", f"Whether both channels pay is open: no run of {missing} is here.", _ends(comparison))
    ours, theirs = measures_of_arm(arm), measures_of_arm(reference)
    if ours is None or theirs is None:
        return Headline("Open", "Whether both channels pay is open: not every stage was measured.", _ends(comparison))

    second = [m.acquisition[1] if len(m.acquisition) > 1 else None for m in (ours, theirs)]
    sure, their_sure = intervals(arm, reference), intervals(reference)

    def note(shown: str, measure: str, write: Callable[[float], str]) -> str:
        beside = f"{name}: {formats.within(shown, their_sure.get(measure), write)}"
        return f"{_interval(sure.get(measure), write)}; {beside}"

    decimal, signed = formats.decimal, formats.signed
    figures = [
        Figure(decimal(ours.average), "average accuracy at the end", note(decimal(theirs.average), "average", decimal)),
        Figure(signed(second[0]), "learned in the second stage", note(signed(second[1]), "acquisition 2", signed)),
        Figure(decimal(ours.forgetting_since_peak), "forgotten since the peak, mean of earlier tasks",
               note(decimal(theirs.forgetting_since_peak), "forgetting_since_peak", decimal)),
    ]  # fmt: skip
    lead = sure.get("lead")
    if ours.average > theirs.average:
        answer = "Yes" if not few_seeds(comparison) and lead is not None and lead[0] > 0 else "It seems so"
    else:
        answer = "No" if not few_seeds(comparison) and lead is not None and lead[1] < 0 else "It seems not"
    sentence = (
        f"After all stages, {arm.label} answers {ours.average:.2f} of the questions of all tasks and {name} "
        f"{theirs.average:.2f} ({seeds_of(arm, reference)})."
    )
    return Headline(answer, sentence, figures)


def _interval(ends: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    if ends is None:
        return "too few seeds for an interval"
    return f"95% interval over seeds: {write(ends[0])} to {write(ends[1])}"


def _fewer(efficiency: Efficiency) -> str:
    if efficiency.ratio is None or efficiency.ratio == 1.0:
        return "as many" if efficiency.ratio else "not enough"
    return (
        f"{formats.times(efficiency.ratio)} fewer"
        if efficiency.ratio > 1
        else f"{formats.times(1 / efficiency.ratio)} more"
    )
