"""The candidate against every control that is there: the other modes, and its own base weights under its lead context.

All are compared by what they are worth at the end, under the context that each ships. A saving against plain RL alone
says nothing of what contexts without training, or one channel after the other, come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from statistics import mean

from fastslow.metrics import Estimate, over_seeds
from fastslow.metrics.streams import paired_difference
from fastslow.report.questions.compare import Arm, Comparison, mean_or_none
from fastslow.report.questions.continual import stages_of
from fastslow.report.reading.data import RunData

FEW_SEEDS = 3
"""With fewer seeds on a side no verdict is given: what one run does, or two, may be luck."""
ROUNDING = 1e-9
"""A difference of two means that is smaller is none."""
OWN_BASE = "its base weights under its best prompt"


@dataclass(frozen=True)
class Control:
    """One control beside the candidate. `level` is the control's at the end, a mean over seeds; `less` estimates the
    candidate's minus the control's, paired by seed where both have the same; `rollouts` are the control's over
    the candidate's, None where a file does not say, and for the candidate's own base."""

    name: str
    level: float
    less: Estimate
    rollouts: float | None = None

    @property
    def beaten(self) -> bool:
        return self.less.value > ROUNDING

    @property
    def surely(self) -> bool:
        """Whether the candidate is ahead by the whole interval over seeds."""
        return self.less.low is not None and self.less.low > ROUNDING

    @property
    def surely_not(self) -> bool:
        """Whether the candidate is behind by the whole interval over seeds."""
        return self.less.high is not None and self.less.high < -ROUNDING


def candidate(comparison: Comparison) -> Arm | None:
    """Return the arm that the question is about: that of the candidate mode, else the first of its variants."""
    arms = [arm for arm in comparison.others if arm.channels.role == "candidate"]
    return next((arm for arm in arms if arm.label == arm.mode), arms[0] if arms else None)


def control_arms(comparison: Comparison) -> list[Arm]:
    """Return the arms that the candidate is judged against: the reference, and every arm of another mode. One that had
    all tasks at once, where the candidate had one after another, is a ceiling and no rival."""
    ours = candidate(comparison)
    others = [arm for arm in comparison.arms if arm is not ours and not (ours and _is_ceiling(arm, ours))]
    return [arm for arm in others if arm is comparison.reference or arm.channels.role != "candidate"]


def _is_ceiling(arm: Arm, ours: Arm) -> bool:
    return stages_of(ours) is not None and stages_of(arm) is None and len(arm.runs[0].tasks) > 1


def few_seeds(comparison: Comparison) -> bool:
    """Return whether an arm that the verdict rests on has too few seeds for one."""
    ours = candidate(comparison)
    return any(len(arm.runs) < FEW_SEEDS for arm in (*control_arms(comparison), *([ours] if ours else [])))


def ends(arm: Arm) -> dict[str, float]:
    """Return what each seed is worth at the end, under the context that the arm ships."""
    return _by_seed(arm, _end)


def own_base(arm: Arm) -> dict[str, float]:
    """Return what the base weights are worth under the lead context that each seed evolved; empty unless both channels
    of the arm learned and every seed was measured so."""
    if not (arm.channels.fast and arm.channels.slow):
        return {}
    found = _by_seed(arm, lambda run: run.final("base_lead"))
    return found if len(found) == len({run.seed for run in arm.runs}) else {}


def controls(comparison: Comparison) -> list[Control]:
    """Return every control that has a measurement, in the order of the arms, the candidate's own base last."""
    ours = candidate(comparison)
    if ours is None:
        return []
    mine, found = ends(ours), []
    if not mine:
        return []
    for arm in control_arms(comparison):
        theirs = ends(arm)
        if theirs:
            share = _share(_rollouts(arm), _rollouts(ours))
            name = comparison.reference_name if arm is comparison.reference else arm.label
            found.append(Control(name, mean(theirs.values()), _less(mine, theirs), share))
    base = own_base(ours)
    if base:
        found.append(Control(OWN_BASE, mean(base.values()), _less(mine, base)))
    return found


@dataclass(frozen=True)
class Channels:
    """What each channel of one arm adds, on top of the other: `weights` under the lead context, `contexts` on the
    trained weights; both differences paired by seed. `base` is the base's under the seed context, `gain` the arm's end
    over it, and `worse` counts the seeds, of `seeds`, that training the weights made worse under the lead context.

    `sure` names the channels whose part is clear of chance, and `either` tells that each of them alone surely brought a
    gain, and neither adds to the other."""

    base: float
    gain: float
    weights: Estimate
    contexts: Estimate
    worse: int
    seeds: int
    sure: tuple[str, ...] = ()
    either: bool = False


def channels_of(arm: Arm) -> Channels | None:
    """Return None unless both channels learned and every seed's closing evaluation is there."""
    if not (arm.channels.fast and arm.channels.slow):
        return None
    names = {"base": "base_seed", "base_lead": "base_lead", "seed": "seed", "lead": "lead"}
    found = {name: _by_seed(arm, lambda run, key=key: run.final(key)) for name, key in names.items()}
    end, seeds = ends(arm), {run.seed for run in arm.runs}
    if any(set(values) != seeds for values in (*found.values(), end)):
        return None
    weights, contexts = paired_difference(found["lead"], found["base_lead"]), paired_difference(end, found["seed"])
    assert weights is not None
    assert contexts is not None
    base = mean(found["base"].values())
    worse = sum(found["lead"][seed] < found["base_lead"][seed] for seed in seeds)
    shipped = arm.runs[0].shipped_context
    parts = (
        ("the weights", weights, ("base lead", "trained lead")),
        ("the contexts", contexts, ("trained seed", f"trained {shipped}")),
    )
    sure = tuple(name for name, part, sides in parts if _clear(part, arm, sides))
    alone = (
        (paired_difference(found["seed"], found["base"]), ("base seed", "trained seed")),
        (paired_difference(found["base_lead"], found["base"]), ("base seed", "base lead")),
    )
    either = max(weights.value, contexts.value) <= ROUNDING and all(
        part is not None and _clear(part, arm, sides) for part, sides in alone
    )
    return Channels(base, mean(end.values()) - base, weights, contexts, worse, len(seeds), sure, either)


def _clear(part: Estimate, arm: Arm, sides: tuple[str, str]) -> bool:
    """Return whether a gain is clear of chance: by its whole interval over seeds; of a single seed, where it is more
    than so few questions move the difference of the two evaluations."""
    if part.low is not None:
        return part.low > ROUNDING
    noise = [_noise(arm.runs[0], *side.split()) for side in sides]
    known = [half for half in noise if half is not None]
    return len(arm.runs) == 1 and len(known) == len(sides) and part.value > max(ROUNDING, hypot(*known))


def _noise(run: RunData, weights: str, context: str) -> float | None:
    """Return half the 95% interval over questions of the latest such evaluation; None where it is not known, as for a
    mean over tasks."""
    found = [one for one in run.evals if (one.weights, one.context) == (weights, context)]
    if len(run.tasks) > 1 or not found or found[-1].low is None or found[-1].high is None:
        return None
    return (found[-1].high - found[-1].low) / 2


def _less(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Estimate:
    paired = paired_difference(ours, theirs) if set(ours) == set(theirs) else None
    if paired is not None:
        return paired

    def measure(a: Sequence[float], b: Sequence[float]) -> dict[str, float | None]:
        return {"less": mean(a) - mean(b)}

    sides = list(ours.values()), list(theirs.values())
    return Estimate(mean(sides[0]) - mean(sides[1]), *over_seeds(measure, *sides).get("less", ()))


def _by_seed(arm: Arm, read: Callable[[RunData], float | None]) -> dict[str, float]:
    known = {run.seed: read(run) for run in arm.runs}
    return {seed: value for seed, value in known.items() if value is not None}


def _end(run: RunData) -> float | None:
    final = run.final(run.shipped_context)
    curve = run.curve()
    return final if final is not None else curve.y[-1] if len(curve) else None


def _rollouts(arm: Arm) -> float | None:
    return mean_or_none([run.counts("rollouts").generated for run in arm.runs])


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
