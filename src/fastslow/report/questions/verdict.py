"""Did it pay? A few sentences and three numbers, from measurements alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from fastslow.core.modes import CANDIDATE
from fastslow.metrics import Efficiency
from fastslow.report.pages import formats
from fastslow.report.questions.alone import answer, only_run, sentence
from fastslow.report.questions.compare import Arm, Comparison
from fastslow.report.questions.continual import intervals, measures_of_arm
from fastslow.report.questions.controls import (
    FEW_SEEDS,
    OWN_BASE,
    ROUNDING,
    Channels,
    Control,
    candidate,
    channels_of,
    controls,
    ends,
    few_seeds,
)
from fastslow.report.questions.plasticity import areas
from fastslow.report.questions.series import bands_of
from fastslow.report.reading.data import RunData

OPEN, YES, SEEMS_SO, IN_PART = "Open", "Yes", "It seems so", "In part"
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
    """Return the first screen of one comparison. The answer is 'Open' where the files do not decide; a single run has
    nothing to be compared with, and says what it learned."""
    if (run := only_run(comparison)) is not None:
        return Headline(answer(run), sentence(run, comparison.measure), _of_one(run), "What was learned?")
    if comparison.kind != "plasticity" and len(comparison.all_runs) == 1:
        missing = "The base or the end of the run was not measured, so that it is open what was learned."
        return Headline(OPEN, missing, _ends(comparison), "What was learned?")
    if comparison.kind == "plasticity":
        found = replace(_plasticity(comparison), question="Was plasticity kept?")
    else:
        found = (_continual if comparison.kind == "continual" else _efficiency)(comparison)
    if not comparison.unfinished:
        return found
    names = ", ".join(run.name for run in comparison.unfinished)
    return replace(found, sentence=f"{found.sentence} Not finished, and left out: {names}.")


def seeds_of(arm: Arm, reference: Arm) -> str:
    return f"{len(arm.runs)} against {formats.seeds(len(reference.runs))}"


def _efficiency(comparison: Comparison) -> Headline:
    reference, arm = comparison.reference, candidate(comparison)
    if reference is None or arm is None:
        missing = comparison.reference_name if reference is None else CANDIDATE.name
        return Headline(OPEN, f"Whether both channels pay is open: no run of {missing} is here.", _ends(comparison))
    steps, rollouts = (arm.efficiency.get(axis) for axis in ("steps", "rollouts"))
    if steps is None or rollouts is None:
        return Headline(OPEN, "Whether both channels pay is open: nothing was measured yet.", _ends(comparison))
    if steps.reference_x == 0:
        return _no_rise(comparison, reference, arm, steps.target)
    best = f"{comparison.reference_name}'s best {comparison.measure} {steps.target:.2f}"
    figures = [_cost(steps, "optimiser steps", best), _cost(rollouts, "rollouts, all of them charged", best)]
    figures.append(_drift(comparison, arm))
    if steps.ratio is None:
        sentence = f"{arm.label} never came to {best} ({seeds_of(arm, reference)})."
        return _judged(comparison, arm, Headline("No", sentence, figures))
    spent = f"{_fewer(steps, 'optimiser steps')} and {_fewer(rollouts, 'rollouts')}"
    seconds = arm.efficiency.get("seconds")
    if seconds is not None and seconds.ratio is not None and seconds.ratio < 1:  # say so in the sentence
        spent += f", but {_fewer(seconds, 'wall seconds')}"
    sentence = f"{arm.label} came to {best} with {spent} ({seeds_of(arm, reference)})"
    own = arm.best()
    sentence += f", and to {own:.2f} in all." if own is not None and own > steps.target else "."
    return _judged(comparison, arm, Headline(_answer(steps, rollouts), sentence, figures))


def _no_rise(comparison: Comparison, reference: Arm, arm: Arm, start: float) -> Headline:
    """Answer where the reference never rose above its start: its best accuracy cost nothing, and nothing can be
    saved."""
    name, measure = comparison.reference_name, comparison.measure
    band = bands_of(arm, "accuracy")
    best = max(range(len(band.y)), key=band.y.__getitem__) if band is not None else None
    top, low = (band.y[best], band.low[best]) if band is not None and best is not None else (start, start)
    figures = [
        Figure(f"{top:.2f}", f"best {measure} of {arm.label}", formats.seeds(len(arm.runs))),
        Figure(f"{start:.2f}", f"best {measure} of {name}, at its start", formats.seeds(len(reference.runs))),
        Figure("open", f"cost against {name}'s", "no rise to compare"),
    ]
    sentence = (
        f"{name[0].upper()}{name[1:]} never rose above its start of {start:.2f}, so there is no cost to compare; "
        f"{arm.label} came to {top:.2f} ({seeds_of(arm, reference)})."
    )
    answer = "No" if top <= start else YES if low > start else SEEMS_SO
    return _judged(comparison, arm, Headline(answer, sentence, figures))


def _answer(steps: Efficiency, rollouts: Efficiency) -> str:
    better = [efficiency.ratio is not None and efficiency.ratio > 1 for efficiency in (steps, rollouts)]
    if all(better):
        sure = all(efficiency.low is not None and efficiency.low > 1 for efficiency in (steps, rollouts))
        return YES if sure else SEEMS_SO
    return IN_PART if any(better) else "No"


def _judged(comparison: Comparison, arm: Arm, found: Headline) -> Headline:
    """Weigh an answer against the reference: by every other control, by the channel that brought the gain, and by the
    number of seeds."""
    rivals = controls(comparison)
    answer = found.answer
    if answer in (YES, SEEMS_SO) and not all(rival.beaten for rival in rivals):
        answer = IN_PART
    elif answer == YES and not (all(rival.surely for rival in rivals) and any(r.name == OWN_BASE for r in rivals)):
        answer = SEEMS_SO  # without its own base under its contexts, the weights' part is not known
    sentence = " ".join(filter(None, [found.sentence, _against(arm, rivals), _by_channel(arm)]))
    return _of_enough_seeds(replace(found, answer=answer, sentence=sentence), few=few_seeds(comparison))


def _of_enough_seeds(found: Headline, *, few: bool) -> Headline:
    """Leave open what rests on fewer than FEW_SEEDS seeds of a side, and say so in the same breath: every verdict of a
    report goes through here."""
    if not few:
        return found
    return replace(found, answer=OPEN, sentence=f"Fewer than three seeds a side, so no verdict: {found.sentence}")


def _against(arm: Arm, rivals: Sequence[Control]) -> str:
    """Say what the arm is worth at the end, and which controls it is behind, or neither behind nor ahead for sure."""
    own = ends(arm)
    if not own or not rivals:
        return ""
    worse = [rival for rival in rivals if rival.surely_not]
    unclear = [rival for rival in rivals if not rival.surely and not rival.surely_not]
    parts = [f"{words} {_listed(some)}" for words, some in (("below", worse), ("not clear of", unclear)) if some]
    if not parts:
        nearest = max(rivals, key=lambda rival: rival.level)
        parts = [f"better than every control, the nearest of them {_listed([nearest])}"]
    return f"At the end {arm.label} stands at {mean(own.values()):.2f}: {', '.join(parts)}."


def _listed(rivals: Sequence[Control]) -> str:
    return " and ".join(
        f"{one.name} ({one.level:.2f}{f' with {one.rollouts:.1f}x the rollouts' if one.rollouts is not None else ''}: "
        f"{formats.difference(one.less)})"
        for one in sorted(rivals, key=lambda rival: -rival.level)
    )


def _by_channel(arm: Arm) -> str:
    """Name the channel that brought the gain over the base: one whose part chance does not explain."""
    found = channels_of(arm)
    if found is None:
        return ""
    added = f"the weights add {formats.difference(found.weights)} under its contexts, the contexts "
    added += f"{formats.difference(found.contexts)} to its weights"
    worse = f", and training made {found.worse} of {formats.seeds(found.seeds)} worse" if found.worse else ""
    return f"{_whence(found)}: {added}{worse}."


def _whence(found: Channels) -> str:
    if found.gain <= ROUNDING:
        return f"There is no gain over the base's {found.base:.2f}"
    gain = f"gain of {formats.signed(found.gain)} over the base's {found.base:.2f}"
    came = f"The {gain} {'came' if found.seeds > 1 else 'seems to have come'} from"
    if len(found.sure) == 2:
        return f"{came} both channels"
    if found.either:
        return f"{came} either channel alone"
    parts = {"the weights": found.weights, "the contexts": found.contexts}
    for name in found.sure:
        (other,) = set(parts) - {name}
        if parts[other].value <= ROUNDING:
            return f"{came} {name} alone"
        return f"{came} {name}; whether {other} added to it is undecided"
    return f"Which channel brought the {gain} is undecided"


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
    if drift.interval is not None:
        note += f"; 95% interval over seeds: {formats.share_interval(drift.interval)}"
    label = f"of {name}'s drift from the base (KL), at {comparison.measure} {drift.accuracy:.2f}"
    return Figure(formats.percent(drift.share), label, note)


def _ends(comparison: Comparison) -> list[Figure]:
    """Answer without a comparison: the accuracy that each arm reached."""
    figures = []
    for arm in comparison.arms[:3]:
        ends = [run.curve().y[-1] for run in arm.runs if len(run.curve())]
        value = formats.decimal(mean(ends)) if ends else "open"
        label = f"{comparison.measure} of {arm.label} at its latest evaluation"
        figures.append(Figure(value, label, formats.seeds(len(arm.runs))))
    return figures


def _of_one(run: RunData) -> list[Figure]:
    """Return where a single run came from and went to, and by which drift."""
    before, after = run.final("base_seed"), run.final(run.shipped_context)
    drift, spent = run.final_kl(run.shipped("kl")), formats.whole(run.counts("rollouts").generated)
    return [
        Figure(formats.decimal(after), "trained, as it ships", "1 seed"),
        Figure(formats.decimal(before), "base, under the plain prompt"),
        Figure(formats.decimal(drift), "drift: KL to the base, nats a token", f"{spent} rollouts"),
    ]


def _plasticity(comparison: Comparison) -> Headline:
    reference, by_arm = comparison.reference, areas(comparison)
    if reference is None or not comparison.others:
        missing = f"'{comparison.reference_label}'" if reference is None else "another checkpoint"
        return Headline(OPEN, f"Whether plasticity was kept is open: no run from {missing} is here.", _ends(comparison))
    shares = {arm.label: by_arm[arm.label].ratio for arm in comparison.others}
    known = {label: share for label, share in shares.items() if share is not None}
    figures = [
        Figure(formats.percent(share) if share is not None else "open", f"of the base's {comparison.along}, {label}",
               "area under the curve; " + _interval(by_arm[label].sure.get("ratio"), formats.percent))
        for label, share in list(shares.items())[:3]
    ]  # fmt: skip
    if not known:
        return Headline(OPEN, "Whether plasticity was kept is open: nothing was measured yet.", figures)
    listed = ", ".join(f"{formats.percent(share)} {label}" for label, share in known.items())
    reached = [share >= KEPT for share in known.values()]
    fewest = min(len(arm.runs) for arm in comparison.arms)
    bounds = [by_arm[label].sure.get("ratio") for label in known]
    decided = all(bound is not None and (bound[0] >= KEPT or bound[1] < KEPT) for bound in bounds)
    answer = "kept" if all(reached) else "kept in part" if any(reached) else "lost in part"
    found = Headline(
        answer.capitalize() if decided else f"It seems {answer}",
        f"Trained afresh, runs come to this share of the base's {comparison.along} along the way: {listed} "
        f"({formats.seeds(fewest)} each).",
        figures,
    )
    return _of_enough_seeds(found, few=fewest < FEW_SEEDS)


def _continual(comparison: Comparison) -> Headline:
    reference, arm = comparison.reference, candidate(comparison)
    name = comparison.reference_name
    if reference is None or arm is None:
        missing = name if reference is None else CANDIDATE.name
        return Headline(OPEN, f"Whether both channels pay is open: no run of {missing} is here.", _ends(comparison))
    ours, theirs = measures_of_arm(arm), measures_of_arm(reference)
    if ours is None or theirs is None:
        return Headline(OPEN, "Whether both channels pay is open: not every stage was measured.", _ends(comparison))

    second = [m.acquisition[1] if len(m.acquisition) > 1 else None for m in (ours, theirs)]
    sure, their_sure = intervals(arm, reference), intervals(reference)

    def note(shown: str, measure: str, write: Callable[[float], str]) -> str:
        beside = f"{name}: {formats.within(shown, their_sure.get(measure), write)}"
        return f"{_interval(sure.get(measure), write)}; {beside}"

    decimal, signed = formats.decimal, formats.signed
    figures = [
        Figure(decimal(ours.average), f"average {comparison.measure} at the end",
               note(decimal(theirs.average), "average", decimal)),
        Figure(signed(second[0]), "learned in the second stage", note(signed(second[1]), "acquisition 2", signed)),
        Figure(decimal(ours.forgetting_since_peak), "forgotten since the peak, mean of earlier tasks",
               note(decimal(theirs.forgetting_since_peak), "forgetting_since_peak", decimal)),
    ]  # fmt: skip
    lead = sure.get("lead")
    if ours.average > theirs.average:
        answer = YES if lead is not None and lead[0] > 0 else SEEMS_SO
    else:
        answer = "No" if lead is not None and lead[1] < 0 else "It seems not"
    sentence = (
        f"After all stages, the {comparison.measure} over all tasks is {ours.average:.2f} of {arm.label} and "
        f"{theirs.average:.2f} of {name} ({seeds_of(arm, reference)})."
    )
    return _judged(comparison, arm, Headline(answer, sentence, figures))


def _interval(ends: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    if ends is None:
        return "too few seeds for an interval"
    return f"95% interval over seeds: {write(ends[0])} to {write(ends[1])}"


def _fewer(efficiency: Efficiency, what: str) -> str:
    """Say how many times fewer, or more, with the interval of that where one is known."""
    ratio, low, high = efficiency.ratio, efficiency.low, efficiency.high
    if ratio is None:
        return f"not enough {what}"
    fewer = ratio >= 1
    ends = "" if not low or not high else f" ({formats.times(low)} to {formats.times(high)})"
    if not fewer and low and high:
        ends = f" ({formats.times(1 / high)} to {formats.times(1 / low)})"
    times = (
        "as many" if ratio == 1.0 else f"{formats.times(ratio if fewer else 1 / ratio)} {'fewer' if fewer else 'more'}"
    )
    return f"{times} {what}{ends}"
