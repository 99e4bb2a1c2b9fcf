"""The tables of a report as plain text in cells: Markdown and HTML each escape what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..metrics import Efficiency
from . import formats
from .compare import RATIO_AXES, Arm, Comparison, mean_or_none
from .continual import measures_of_arm, stages_of
from .costs import PHASES, cost_of
from .data import AXES, RunData
from .lineage import earned
from .plasticity import areas
from .routes import shares
from .series import bands_of
from .verdict import FEW_SEEDS

NUMBERS = 16  # rows of the table behind a curve; the CSV has them all


@dataclass(frozen=True)
class Table:
    """A head, rows of as many cells, and what must be said of them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


def runs(comparison: Comparison) -> Table:
    head = (
        "run", "arm", "seed", "status", "steps", "accuracy: seed / lead / mean", "as shipped, 95% of its questions",
        "best of n", "KL: seed / lead", "entropy: seed / lead", "rollouts",
    )  # fmt: skip
    rows = [
        (
            run.name, run.label, run.seed, run.status, formats.whole(run.steps),
            _slashed([_latest(run, "accuracy", name) for name in ("seed", "lead", "mean")]), *_sureness(run),
            *(_slashed([_latest(run, what, name) for name in ("seed", "lead")]) for what in ("kl", "entropy")),
            formats.whole(run.spent("rollouts")),
        )
        for run in comparison.runs
    ]  # fmt: skip
    return Table("Runs", head, rows)


def cells(comparison: Comparison) -> Table | None:
    """What was planned and is not done; None where nothing is amiss."""
    rows = [
        (cell.arm, cell.seed, cell.status, formats.seconds(cell.seconds), cell.error)
        for cell in comparison.cells
        if cell.status != "done"
    ]
    if not rows:
        return None
    return Table("Cells that are not done", ("arm", "seed", "status", "time", "error"), rows)


def efficiencies(comparison: Comparison) -> Table | None:
    """None without a reference and another arm."""
    reference = comparison.reference
    if reference is None or not comparison.others:
        return None
    rows = [
        (
            arm.label,
            *(_ratio(arm.efficiency.get(axis)) for axis in RATIO_AXES),
            formats.whole(mean_or_none([cost_of(run).reflection_tokens for run in arm.runs])),
        )
        for arm in comparison.others
    ]
    name = comparison.reference_name
    notes = [
        f"What {name} spent until its best accuracy, over what the arm spent until it was as good; above 1x the arm "
        "needs less. In brackets the 95% interval over seeds.",
        f"No ratio for the reflection tokens: {name} asks no language model. The column has the whole run's.",
    ]
    if any(
        found is not None and found.reference_x == 0 for arm in comparison.others for found in arm.efficiency.values()
    ):
        notes.append(f"No rise: {name} never came above its start, so there is no cost to compare.")
    notes += _few_seeds(comparison)
    return Table(
        f"Cost of {name}'s best accuracy, {name} / arm",
        ("arm", *(AXES[axis] for axis in RATIO_AXES), AXES["reflection"]), rows, notes,
    )  # fmt: skip


def drift(comparison: Comparison) -> Table | None:
    """KL at like accuracy; None without a reference and another arm."""
    if comparison.reference is None or not comparison.others or comparison.kind == "plasticity":
        return None
    rows = []
    for arm in comparison.others:
        found = arm.drift
        if found is None:
            rows.append((arm.label, *[formats.NOTHING] * 4, ""))
            continue
        known = found.low is not None and found.high is not None
        interval = f"{found.low:.0%} to {found.high:.0%}" if known else ""
        numbers = map(formats.decimal, (found.accuracy, found.other_kl, found.reference_kl))
        rows.append((arm.label, *numbers, formats.percent(found.share), interval))
    head = ("arm", "accuracy", "its KL", f"{comparison.reference_name}'s KL", "share", "95% interval")
    notes = ["At the highest accuracy that the mean curves of both came to; in between evaluations by proportion."]
    return Table("KL to the base at like accuracy", head, rows, notes)


def quadrants(comparison: Comparison) -> Table:
    """{base, trained} x {seed, evolved}; a closing evaluation measures the base."""
    names = ("base_seed", "base_lead", "seed", "lead", "mean")
    head = ("arm", "base, seed", "base, evolved", "trained, seed", "trained, evolved", "trained, mean of population")
    rows = [(arm.label, *(formats.decimal(_quadrant(arm, name)) for name in names)) for arm in comparison.arms]
    return Table("Where it ends: weights and context", head, rows)


def ceilings(comparison: Comparison) -> Table:
    rows = [(arm.label, *_ceiling(arm)) for arm in comparison.arms]
    return Table("Ceiling by sigmoid fit", ("arm", "ceiling", "95% interval"), rows)


def costs(comparison: Comparison) -> Table:
    head = ("run", *PHASES, "total", "tokens: slow", "tokens: fast", "reused rollouts", "reflection tokens", "money")
    rows = []
    for run in comparison.runs:
        cost = cost_of(run)
        counts = (cost.slow_tokens, cost.fast_tokens, cost.reused, cost.reflection_tokens)
        rows.append(
            (
                run.name, *(formats.seconds(cost.seconds[name]) for name in PHASES),
                formats.seconds(cost.total_seconds),
                *map(formats.whole, counts), cost.money,
            )
        )  # fmt: skip
    notes = ("Update is all that is neither rollouts nor fast phases nor evaluations, loading included.",)
    return Table("Costs by phase", head, rows, notes)


def gains(comparison: Comparison) -> Table | None:
    """None where no context was ever proposed."""
    found = earned([run for run in comparison.runs if run.contexts])
    if not found:
        return None
    whole = sum(one.gain for one in found)
    rows = [
        (
            one.proposer, f"{one.proposed:,}", f"{one.refused:,}", f"{one.accepted:,}",
            formats.percent(one.accepted / one.proposed), formats.percent(one.gain / whole if whole > 0 else None),
        )
        for one in found
    ]  # fmt: skip
    head = ("proposer", "proposed", "refused unseen", "accepted", "share accepted", "share of gains")
    notes = ("A gain is what an accepted edit scored above its parent on the minibatch it was made from.",)
    return Table("Who proposed, and what came of it", head, rows, notes)


def routing(comparison: Comparison) -> Table | None:
    """None where no group was routed."""
    rows = []
    for run in (run for run in comparison.runs if run.routes):
        counts = sum(run.routes.values(), Counter())
        told = ", ".join(f"{kind} {share:.0%}" for kind, share in shares(counts).items())
        rows.append((run.name, ", ".join(run.routers), f"{counts.total():,}", told))
    return Table("Shares of the routes", ("run", "router", "groups", "shares"), rows) if rows else None


def plasticity(comparison: Comparison) -> Table | None:
    """None for anything but a plasticity probe."""
    if comparison.kind != "plasticity":
        return None
    found = areas(comparison)
    rows = [
        (
            label, str(one.seeds), *map(formats.decimal, (one.start, one.best, one.area)), formats.percent(one.ratio),
            *(_steps_to(value) for value in (one.halfway, one.top)),
        )
        for label, one in found.items()
    ]  # fmt: skip
    name = comparison.reference_label
    head = (
        "arm",
        "seeds",
        "start",
        "best",
        "mean accuracy along the way",
        f"share of '{name}'",
        "steps to half",
        "steps to best",
    )
    notes = (
        "The mean accuracy along the way is the area under the curve divided by its span, up to the step that all arms "
        f"reached. Half and best are those of '{name}': halfway from its start to its best accuracy, and that.",
    )
    return Table("Plasticity", head, rows, [*notes, *_few_seeds(comparison)])


def continual(comparison: Comparison) -> Table | None:
    """None unless some arm went through stages."""
    staged = [arm for arm in comparison.arms if stages_of(arm) is not None]
    if not staged:
        return None
    rows, later = [], ", ".join(str(at + 1) for at in range(len(comparison.tasks)))
    theirs = measures_of_arm(comparison.reference) if comparison.reference in staged else None
    for arm in staged:
        found = measures_of_arm(arm)
        if found is None:
            rows.append((arm.label, *["not every stage was measured"], *[formats.NOTHING] * 6))
            continue
        rows.append(
            (
                arm.label, formats.decimal(found.average), formats.signed(found.backward_transfer),
                formats.signed(found.forward_transfer), formats.decimal(found.forgetting_since_learned),
                formats.decimal(found.forgetting_since_peak), " / ".join(map(formats.signed, found.acquisition)),
                _shares(found.acquisition, theirs.acquisition if theirs is not None else ()),
            )
        )  # fmt: skip
    head = (
        "arm", "average accuracy", "backward transfer", "forward transfer", "forgotten since learned",
        "forgotten since peak", f"acquired in stage {later}",
        f"times {comparison.reference_name}'s",
    )  # fmt: skip
    return Table("Learning one task after another", head, rows, _few_seeds(comparison))


def numbers(comparison: Comparison, quantity: str) -> Table:
    """The points of the mean curve by optimiser steps, for those who cannot hover over it."""
    rows = []
    for arm in comparison.arms:
        band = bands_of(arm, quantity)
        for at in _some(len(band.steps)) if band is not None else ():
            assert band is not None
            shade = f"{band.low[at]:.3f} to {band.high[at]:.3f}" if band.seeds > 1 else "one seed"
            rollouts = formats.whole(band.spent["rollouts"][at])
            rows.append((arm.label, f"{band.steps[at]:,}", rollouts, f"{band.y[at]:.3f}", shade))
    return Table("Numbers behind the curve", ("arm", "step", "rollouts", quantity, "over seeds"), rows)


def _shares(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """What was acquired in each stage over what the reference did; meaningless where that learned nothing."""
    pairs = zip(ours, theirs, strict=False)
    return " / ".join(formats.times(a / b) if b > 0 else formats.NOTHING for a, b in pairs) or formats.NOTHING


def _some(n: int) -> list[int]:
    if n <= NUMBERS:
        return list(range(n))
    return sorted({round(at * (n - 1) / (NUMBERS - 1)) for at in range(NUMBERS)})


def _quadrant(arm: Arm, name: str) -> float | None:
    if name in ("base_lead", "lead", "mean") and arm.mode == "rl":
        return None  # plain RL evolves no context: the summary repeats its seed context there
    known = arm.final(name)
    if known is not None or name.startswith("base"):
        return known
    return mean_or_none([_latest(run, "accuracy", name) for run in arm.runs])


def _latest(run: RunData, quantity: str, context: str) -> float | None:
    told = {"accuracy": run.final, "kl": run.final_kl}.get(quantity, lambda _: None)(context)
    if run.mode == "rl" and context != "seed":
        return None
    curve = run.curve(quantity=quantity, context=context)
    return told if told is not None else curve.y[-1] if len(curve) else None


def _sureness(run: RunData) -> tuple[str, str]:
    """Of the last evaluation: how far its few questions may mislead, and the share with a right answer among n."""
    values = run.evaluations[-1].values if run.evaluations else {}
    low, high, best = (values.get(("", run.shipped_context, name)) for name in ("low", "high", "best"))
    interval = formats.NOTHING if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return interval, formats.decimal(best)


def _ceiling(arm: Arm) -> tuple[str, str]:
    fit = arm.asymptote
    if fit is None or fit.a is None:
        return fit.reason if fit else formats.NOTHING, ""
    return f"{fit.a:.2f}", f"{fit.low:.2f} to {fit.high:.2f}"


def _ratio(found: Efficiency | None) -> str:
    if found is None:
        return formats.NOTHING
    if found.reference_x == 0:
        return "no rise"
    if found.ratio is None:
        return "not reached"
    shown = formats.times(found.ratio)
    if found.low is not None and found.high is not None:
        shown += f" ({'not reached' if found.low == 0 else formats.times(found.low)} to {formats.times(found.high)})"
    return shown


def _steps_to(value: float | None) -> str:
    return "not reached" if value is None else formats.whole(value)


def _slashed(values: Sequence[float | None]) -> str:
    return " / ".join(map(formats.decimal, values))


def _few_seeds(comparison: Comparison) -> list[str]:
    few = [f"{arm.label} ({formats.seeds(len(arm.runs))})" for arm in comparison.arms if len(arm.runs) < FEW_SEEDS]
    if not few:
        return []
    return [f"Too few seeds for an interval to trust: {', '.join(few)}. What one run does may be luck."]
