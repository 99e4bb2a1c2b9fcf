"""The tables of a report as plain text in cells, which Markdown and HTML each escape in their own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastslow.core.types import Route
from fastslow.metrics import Efficiency
from fastslow.report.pages import formats
from fastslow.report.questions.compare import RATIO_AXES, Arm, Comparison, mean_or_none
from fastslow.report.questions.continual import (
    at_the_end,
    intervals,
    measures_of_arm,
    normalised,
    numbers_of,
    stages_of,
    times,
)
from fastslow.report.questions.controls import FEW_SEEDS
from fastslow.report.questions.costs import PHASES, cost_of
from fastslow.report.questions.lineage import earned
from fastslow.report.questions.plasticity import areas
from fastslow.report.questions.routes import shares
from fastslow.report.questions.series import bands_of, context_lengths
from fastslow.report.reading.data import AXES, RunData
from fastslow.report.reading.rows import MetricsRow

PARTIAL_CREDIT = (
    "Some rewards lie between 0 and 1: a mean reward is no share of questions, and fully right are the answers with "
    "full reward."
)
NUMBERS = 16  # rows of the table below a curve; the CSV has every row


@dataclass(frozen=True)
class Table:
    """A header, rows with as many cells, and notes that explain the numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


def runs(comparison: Comparison) -> Table:
    measured = [run for run in comparison.runs if _latest(run, "entropy", "seed") is not None]
    drifts = ("kl", "entropy") if measured else ("kl",)  # runs made before entropy was measured have none
    accuracies = {"accuracy": comparison.measure, **({"fully_right": "fully right"} if comparison.graded else {})}
    head = (
        "run", "arm", "seed", "status", "steps",
        *(f"{name}: plain / best prompt / mean" for name in accuracies.values()),
        "as shipped, 95% of its questions", f"best{' reward' if comparison.graded else ''} of n",
        *({"kl": "KL", "entropy": "entropy"}[what] + ": plain / best prompt" for what in drifts), "rollouts",
    )  # fmt: skip
    rows = [
        (
            run.name, run.label, run.seed, run.status, formats.whole(run.steps),
            *(_slashed([_latest(run, what, name) for name in ("seed", "lead", "mean")]) for what in accuracies),
            *_sureness(run),
            *(_slashed([_latest(run, what, name) for name in ("seed", "lead")]) for what in drifts),
            formats.whole(run.counts("rollouts").generated),
        )
        for run in comparison.all_runs
    ]  # fmt: skip
    return Table("Runs", head, rows, [PARTIAL_CREDIT] if comparison.graded else [])


def cells(comparison: Comparison) -> Table | None:
    """List the planned runs that are not done; None where every one is done."""
    rows = [
        (cell.arm, cell.seed, cell.status, formats.seconds(cell.seconds), cell.error)
        for cell in comparison.cells
        if cell.status != "done"
    ]
    if not rows:
        return None
    return Table("Cells that are not done", ("arm", "seed", "status", "time", "error"), rows)


def efficiencies(comparison: Comparison) -> Table | None:
    """Show the costs of the reference's best accuracy; None without a reference and another arm."""
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
    name, measure = comparison.reference_name, comparison.measure
    notes = [
        f"What {name} spent until its best {measure}, over what the arm spent until it was as good; above 1x the arm "
        "needs less. In brackets the 95% interval over seeds.",
        f"No ratio for the reflection tokens: {name} asks no language model. The column has the whole run's.",
    ]
    if any(
        efficiency is not None and efficiency.reference_x == 0
        for arm in comparison.others
        for efficiency in arm.efficiency.values()
    ):
        notes.append(f"No rise: {name} never came above its start, so there is no cost to compare.")
    notes += _few_seeds(comparison)
    return Table(
        f"Cost of {name}'s best {measure}, {name} / arm",
        ("arm", *(AXES[axis] for axis in RATIO_AXES), AXES["reflection"]), rows, notes,
    )  # fmt: skip


def drift(comparison: Comparison) -> Table | None:
    """Show the KL at matched accuracy; None without a reference and another arm."""
    if comparison.reference is None or not comparison.others or comparison.kind == "plasticity":
        return None
    rows = []
    for arm in comparison.others:
        matched = arm.drift
        if matched is None:
            rows.append((arm.label, *[formats.NOTHING] * 4, ""))
            continue
        interval = formats.share_interval(matched.interval)
        numbers = map(formats.decimal, (matched.accuracy, matched.other_kl, matched.reference_kl))
        rows.append((arm.label, *numbers, formats.percent(matched.share), interval))
    head = ("arm", comparison.measure, "its KL", f"{comparison.reference_name}'s KL", "share", "95% interval")
    measure = comparison.measure
    notes = [f"At the highest {measure} that the mean curves of both came to; in between evaluations by proportion."]
    return Table(f"KL to the base at like {measure}", head, rows, notes)


def quadrants(comparison: Comparison) -> Table:
    """Show {base, trained} x {seed, evolved}; the closing evaluation measures the base."""
    names = ("base_seed", "base_lead", "seed", "lead", "mean")
    head = ("arm", "base, seed", "base, evolved", "trained, seed", "trained, evolved", "trained, mean of population")
    rows = [(arm.label, *(formats.decimal(_quadrant(arm, name)) for name in names)) for arm in comparison.arms]
    notes = []
    untrained = next((arm.label for arm in comparison.arms if arm.channels.fast and not arm.channels.slow), None)
    if untrained is not None:
        notes.append(f"The base's own best prompt: arm '{untrained}', whose weights are the base's throughout.")
    return Table("Where it ends: weights and context", head, rows, notes)


def ceilings(comparison: Comparison) -> Table:
    rows = [(arm.label, *_ceiling(arm)) for arm in comparison.arms]
    return Table("Ceiling by sigmoid fit", ("arm", "ceiling", "95% interval"), rows)


def costs(comparison: Comparison) -> Table:
    head = ("run", *PHASES, "total", "tokens: slow", "tokens: fast", "reused rollouts", "reflection tokens", "money")
    rows = []
    for run in comparison.all_runs:
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


def fast_channel(comparison: Comparison) -> Table | None:
    """Show what the fast phases of each run did; None where no run had a fast phase."""
    rows = []
    for run in comparison.runs:
        phases = [row for row in run.metrics if row.phase == "fast"]
        if not phases:
            continue
        proposed, accepted, calls = (
            _total(phases, f"fst/fast/{name}") for name in ("proposals", "accepted", "metric_calls")
        )
        share = accepted / proposed if proposed and accepted is not None else None
        lengths = [sample.y for sample in context_lengths(run)]
        growth = f"{lengths[0]:,.0f} to {lengths[-1]:,.0f}" if lengths else formats.NOTHING
        frontier = phases[-1].numbers.get("fst/fast/frontier_size")
        rows.append(
            (
                run.name, str(len(phases)), *map(formats.whole, (proposed, accepted)), formats.percent(share),
                *map(formats.whole, (calls, frontier)), growth,
            )
        )  # fmt: skip
    head = (
        "run", "phases", "proposed", "accepted", "share accepted", "rollouts", "frontier at the end",
        "characters of accepted contexts, first to last phase",
    )  # fmt: skip
    return Table("The fast channel", head, rows) if rows else None


def gains(comparison: Comparison) -> Table | None:
    """Show the gains of each proposer; None where no context was ever proposed."""
    proposers = earned([run for run in comparison.runs if run.contexts])
    if not proposers:
        return None
    whole = sum(one.gain for one in proposers)
    rows = [
        (
            one.proposer, f"{one.proposed:,}", f"{one.refused:,}", f"{one.accepted:,}",
            formats.percent(one.accepted / one.proposed), formats.percent(one.gain / whole if whole > 0 else None),
        )
        for one in proposers
    ]  # fmt: skip
    head = ("proposer", "proposed", "refused unseen", "accepted", "share accepted", "share of gains")
    notes = (
        "A gain is what an accepted edit scored above its parent on the minibatch it was made from: it was accepted "
        "for that, so gains flatter every proposer, and the shares compare them.",
    )
    return Table("Who proposed, and what came of it", head, rows, notes)


def routing(comparison: Comparison) -> Table | None:
    """Show the share of each route; None where every group took the one that needs no router."""
    rows = []
    if not {kind for run in comparison.runs for counts in run.routes.values() for kind in counts} - {Route.BOTH.value}:
        return None
    for run in (run for run in comparison.runs if run.routes):
        counts = sum(run.routes.values(), Counter())
        listed = ", ".join(f"{kind} {formats.percent(share)}" for kind, share in shares(counts).items())
        rows.append((run.name, ", ".join(run.routers), f"{counts.total():,}", listed))
    return Table("Shares of the routes", ("run", "router", "groups", "shares"), rows) if rows else None


def plasticity(comparison: Comparison) -> Table | None:
    """Show the measures of a plasticity probe; None for any other comparison."""
    if comparison.kind != "plasticity":
        return None
    within, decimal, percent, steps_to = formats.within, formats.decimal, formats.percent, formats.steps_to
    name, rows = comparison.reference_label, []
    for label, one in areas(comparison).items():
        # The reference is its own share: all of it.
        sure = one.sure if label != name else {n: i for n, i in one.sure.items() if "ratio" not in n}
        numbers = (
            within(write(getattr(one, field)), sure.get(field), write)
            for field, write in (
                ("start", decimal), ("best", decimal), ("end", decimal), ("area", decimal), ("ratio", percent),
                ("end_ratio", percent), ("halfway", steps_to), ("top", steps_to),
            )
        )  # fmt: skip
        rows.append((label, str(one.seeds), *numbers))
    head = (
        "arm", "seeds", "start", "best", "end", f"{comparison.along} along the way", f"share of '{name}'",
        f"end, share of '{name}'", "steps to half", "steps to best",
    )  # fmt: skip
    notes = (
        f"The {comparison.along} along the way is the area under the curve divided by its span, up to the step that "
        f"all arms reached. Half and best are those of '{name}': halfway from its start to its best "
        f"{comparison.measure}, and that. In brackets the 95% interval over seeds.",
    )
    return Table("Plasticity", head, rows, [*notes, *_few_seeds(comparison)])


def continual(comparison: Comparison) -> Table | None:
    """Show one row for each measure of continual learning; None unless some arm went through stages."""
    staged = [arm for arm in comparison.arms if stages_of(arm) is not None]
    if not staged:
        return None
    columns = [
        _continual_column(comparison, arm, staged) if arm in staged else _end_column(comparison, arm)
        for arm in comparison.arms
    ]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, *(column.get(name, formats.NOTHING) for column in columns)) for name in names]
    notes = [
        "In brackets the 95% interval over seeds. Of the most: gained in the stage over the most that any arm here "
        f"came to above the base on its task. Times {comparison.reference_name}'s: infinitely if that learned nothing.",
        *_few_seeds(comparison),
    ]
    return Table("Learning one task after another", ("measure", *(arm.label for arm in comparison.arms)), rows, notes)


def _end_column(comparison: Comparison, arm: Arm) -> dict[str, str]:
    """Return what can be said of an arm that had all tasks at once: it has no stages, only an end."""
    value, interval = at_the_end(arm)
    return {f"average {comparison.measure}": formats.within(formats.decimal(value), interval, formats.decimal)}


def _continual_column(comparison: Comparison, arm: Arm, staged: Sequence[Arm]) -> dict[str, str]:
    measures, within = measures_of_arm(arm), formats.within
    if measures is None:
        return {f"average {comparison.measure}": "not every stage was measured"}
    reference = comparison.reference if comparison.reference in staged and arm is not comparison.reference else None
    sure, known = intervals(arm, reference), numbers_of(measures)
    shown = {
        title: within(write(known[name]), sure.get(name), write)
        for title, name, write in (
            (f"average {comparison.measure}", "average", formats.decimal),
            ("backward transfer", "backward_transfer", formats.signed),
            ("forward transfer", "forward_transfer", formats.signed),
            ("forgotten since learned", "forgetting_since_learned", formats.decimal),
            ("forgotten since peak", "forgetting_since_peak", formats.decimal),
            ("share of the peak still there", "retained", formats.percent),
        )
    }
    theirs = measures_of_arm(reference) if reference is not None else None
    shares = normalised(arm, staged)
    for at, gain in enumerate(measures.acquisition, start=1):
        name = f"acquired in stage {at}"
        shown[name] = within(formats.signed(gain), sure.get(f"acquisition {at}"), formats.signed)
        shown[f"{name}, of the most"] = formats.percent(shares[at - 1])
        if theirs is not None and at <= len(theirs.acquisition):
            ratio = times(gain, theirs.acquisition[at - 1])
            shown[f"{name}, times {comparison.reference_name}'s"] = (
                formats.NOTHING
                if ratio is None
                else within(formats.times(ratio), sure.get(f"times {at}"), formats.times)
            )
    return shown


def numbers(comparison: Comparison, quantity: str) -> Table:
    """Show the points of the mean curve by optimiser steps, for readers who cannot hover over the curve."""
    rows = []
    for arm in comparison.arms:
        band = bands_of(arm, quantity)
        for at in _some(len(band.steps)) if band is not None else ():
            assert band is not None
            shade = f"{band.low[at]:.3f} to {band.high[at]:.3f}" if band.seeds > 1 else "one seed"
            rollouts = formats.whole(band.spent["rollouts"][at])
            rows.append((arm.label, f"{band.steps[at]:,}", rollouts, f"{band.y[at]:.3f}", shade))
    name = comparison.measure if quantity == "accuracy" else quantity
    return Table("Numbers behind the curve", ("arm", "step", "rollouts", name, "over seeds"), rows)


def _total(rows: Sequence[MetricsRow], name: str) -> float | None:
    """Return the sum, or None where a row lacks the number."""
    values = [row.numbers.get(name) for row in rows]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _some(n: int) -> list[int]:
    if n <= NUMBERS:
        return list(range(n))
    return sorted({round(at * (n - 1) / (NUMBERS - 1)) for at in range(NUMBERS)})


def _quadrant(arm: Arm, name: str) -> float | None:
    if name in ("base_lead", "lead", "mean") and not arm.channels.fast:
        return None  # no context was evolved, so the summary repeats the seed context
    known = arm.final(name)
    if known is not None or name.startswith("base"):
        return known
    return mean_or_none([_latest(run, "accuracy", name) for run in arm.runs])


def _latest(run: RunData, quantity: str, context: str) -> float | None:
    value = {"accuracy": run.final, "kl": run.final_kl}.get(quantity, lambda _: None)(context)
    if not run.channels.fast and context != "seed":
        return None
    curve = run.curve(quantity=quantity, context=context)
    return value if value is not None else curve.y[-1] if len(curve) else None


def _sureness(run: RunData) -> tuple[str, str]:
    """Describe the last evaluation: the error of so few questions, and the share with a right answer among n."""
    values = run.evaluations[-1].values if run.evaluations else {}
    low, high, best = (values.get(("", run.shipped_context, name)) for name in ("low", "high", "best"))
    interval = formats.NOTHING if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return interval, formats.decimal(best)


def _ceiling(arm: Arm) -> tuple[str, str]:
    fit = arm.asymptote
    if fit is None or fit.a is None:
        return fit.reason if fit else formats.NOTHING, ""
    return f"{fit.a:.2f}", f"{fit.low:.2f} to {fit.high:.2f}"


def _ratio(efficiency: Efficiency | None) -> str:
    if efficiency is None:
        return formats.NOTHING
    if efficiency.reference_x == 0:
        return "no rise"
    if efficiency.ratio is None:
        return "not reached"
    shown = formats.times(efficiency.ratio)
    if efficiency.low is not None and efficiency.high is not None:
        low = "not reached" if efficiency.low == 0 else formats.times(efficiency.low)
        shown += f" ({low} to {formats.times(efficiency.high)})"
    return shown


def _slashed(values: Sequence[float | None]) -> str:
    return " / ".join(map(formats.decimal, values))


def _few_seeds(comparison: Comparison) -> list[str]:
    few = [f"{arm.label} ({formats.seeds(len(arm.runs))})" for arm in comparison.arms if len(arm.runs) < FEW_SEEDS]
    if not few:
        return []
    return [f"Too few seeds for an interval to trust: {', '.join(few)}. What one run does may be luck."]
