"""From results/reproduce to docs/results.md (`make results`): the paper's figures and ours side by side.

    python scripts/results_page.py results/reproduce docs/results.md

A claim holds where the whole 95% interval over at least three seeds is on its side, fails where all of it is on the
other side, and is undecided in between. Experiments that are not finished say so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import mean

from kept import MEASURED, UNTRAINED, elsewhere

from fastslow.metrics import Efficiency, kl_at_matched_accuracy
from fastslow.report.pages import formats, stream_tables, tables
from fastslow.report.pages.markdown import section, verdict
from fastslow.report.questions.compare import Arm, Comparison, compare
from fastslow.report.questions.continual import intervals, measures_of_arm, numbers_of
from fastslow.report.questions.plasticity import areas
from fastslow.report.questions.streams import StreamArm, stream_arms
from fastslow.report.questions.verdict import KEPT
from fastslow.report.reading.sources import load_sources

TITLES = {
    "products_exact": "Products of single digits, judged exactly",
    "star_graph": "Paths in star graphs",
    "products": "Products of single digits, the last number counts",
    "number_format": "The largest or smallest of differently written numbers",
    "plasticity": "Plasticity: plain RL on sums, from weights trained on products",
    "continual": "Three tasks one after another",
    "contexts": "Ablation: the number of contexts",
    "edits": "Ablation: worked examples drawn anew instead of small edits",
    "advantages": "Ablation: advantages within a context",
    "stream_recur": "A stream without labels whose tasks return",
    "routers": "Routing rules at equal rollouts, on a mixture of three tasks",
    "routers_ahead": "Routing before the rollout, on a mixture of three tasks",
    "worth_sums": "What two channels are worth: sums up to 99, the last number counts",
    "worth_sums_exact": "What two channels are worth: sums up to 99, exactly",
    "worth_star_graph": "What two channels are worth: paths in star graphs",
    "worth_divisors": "What two channels are worth: greatest common divisors",
    "worth_number_format": "What two channels are worth: differently written numbers",
    "worth_letter_counting": "What two channels are worth: counting letters",
    "prefix": "Ablation: a context's keys and values as constants",
    "noisy_labels": "A fifth of the labels wrong, against none at all",
    "losses_sums": "Other losses: sums up to 99, the last number counts",
    "losses_sums_exact": "Other losses: sums up to 99, exactly",
    "rates_sums": "Other learning rates, with a KL term and without: sums up to 99, the last number counts",
}
SEEDS = 3
# What is asked of streams and routers: this arm, against that one, at least this share of its accuracy.
VERSUS = {
    "stream_recur": (("inferred", "labels", 0.9), ("inferred", "rl", 1.0), ("inferred", "one_population", 1.0)),
    "routers": tuple(
        (ours, other, 1.0)
        for ours in ("variance", "learned")
        for other in ("both", "success_gate", "threshold", f"random_as_{ours}")
    ),
    "noisy_labels": (("variance_noisy", "variance_hidden", 1.0), ("learned_noisy", "learned_hidden", 1.0)),
}
VARIED = ("losses_sums", "losses_sums_exact", "rates_sums")
"""Both channels against RL alone, each pair under settings of its own: arms fst and rl, fst_grpo and rl_grpo, ..."""
FORGETS_LITTLE = {"stream_recur": ("labels", "inferred")}
Row = tuple[str, str, str, str, str]


def page(kept: Path) -> str:
    """The text between the title and the end of docs/results.md."""
    found = {name: _load(kept / name) for name in TITLES}
    rows = [row for name, comparison in found.items() if comparison for row in _claims(name, comparison)]
    rows += _ablations(found)
    head = ["| claim | experiment | paper | here | |", "| --- | --- | --- | --- | --- |"]
    missing = [title for name, title in TITLES.items() if found[name] is None]
    parts = ["\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)])]
    if missing:
        parts.append("Not measured yet: " + "; ".join(missing) + ".")
    for name, comparison in found.items():
        if comparison:
            parts += _experiment(name, comparison)
    return "\n\n".join(parts) + "\n"


def _ablations(found: Mapping[str, Comparison | None]) -> Iterator[Row]:
    """What the method has against what it would be without, by where they end."""

    def arm(name: str, label: str) -> Arm | None:
        comparison = found[name]
        return next((a for a in comparison.arms if a.label == label), None) if comparison else None

    for what, paper, name, ours, theirs in (
        (
            "Rollouts compared across contexts, not within one", "42.8 / 39.3", "advantages",
            arm("products_exact", "fst"), arm("advantages", "fst advantage_group=context"),
        ),
        (
            "Small edits, not examples drawn anew", "42.8 / 39.9", "edits",
            arm("products_exact", "fst"), arm("edits", "fst edits=full"),
        ),
        *(
            (
                f"{k} contexts, not one", f"{score} / 41.1", "contexts",
                arm("contexts", f"fst population_size={k}"), arm("contexts", "fst population_size=1"),
            )
            for k, score in ((4, 40.2), (8, 42.8))
        ),
    ):  # fmt: skip
        if ours is not None and theirs is not None:
            yield what, name, paper, *_ends(ours, theirs)


def _load(folder: Path) -> Comparison | None:
    if not (folder / "comparison.json").is_file():
        return None
    comparisons = [each for source in load_sources([folder]) for each in compare(source)]
    return comparisons[0] if comparisons else None


def _experiment(name: str, comparison: Comparison) -> Iterator[str]:
    yield f"## {TITLES[name]}"
    yield verdict(comparison)
    made = (
        tables.cells, tables.efficiencies, tables.drift, tables.plasticity, tables.continual, stream_tables.by_task,
        stream_tables.streams, stream_tables.differences, _elsewhere, tables.quadrants, tables.runs,
    )  # fmt: skip
    for table in (make(comparison) for make in made):
        if table is not None:
            yield section(table)


def _elsewhere(comparison: Comparison) -> tables.Table | None:
    """Show what training did to what no task asks for, of the arms whose bundles were measured; None if none was."""
    found: dict[str, dict[str, str]] = {}
    for arm in comparison.arms:
        files = [run.path / MEASURED for run in arm.runs if (run.path / MEASURED).exists()]
        if files:
            columns = elsewhere([json.loads(file.read_text(encoding="utf-8")) for file in files])
            found[arm.label] = {"arm": arm.label, "seeds": str(len(files)), **columns}
    if not found:
        return None
    notes = [
        "Of the bundle, without any context: bits per byte of prose and KL(trained || base) on prompts of no task, and "
        f"accuracy after four worked examples on {' and '.join(UNTRAINED)}. Of each its mean over the seeds."
    ]
    head, rows = next(iter(found.values())), [tuple(row.values()) for row in found.values()]
    return tables.Table("What no task asks for", tuple(head), rows, notes)


def _varied(name: str, comparison: Comparison) -> Iterator[Row]:
    arms = {arm.label: arm for arm in comparison.arms}
    for label, ours in arms.items():
        theirs = arms.get(label.replace("fst", "rl", 1))
        if label.startswith("fst_") and theirs is not None:
            yield f"Higher at the end than RL alone, {label}", name, "not tried", *_ends(ours, theirs)
            yield from _less_drift(name, ours, theirs)


def _claims(name: str, comparison: Comparison) -> Iterator[Row]:
    reference = comparison.reference
    fst = next((arm for arm in comparison.arms if arm.label == "fst"), None)
    if comparison.kind == "plasticity":
        yield from _plasticity(name, comparison)
    yield from _streams(name, comparison)
    if name in VARIED:
        yield from _varied(name, comparison)
    if reference is None or fst is None or comparison.kind == "plasticity":
        return
    if comparison.kind == "continual":
        yield from _continual(name, reference, fst)
        return
    enough = min(len(reference.runs), len(fst.runs)) >= SEEDS
    for axis, paper in (("steps", "3.0x, 1.4x on Math"), ("rollouts", "1.85x, 0.94x on Math (derived)")):
        cost = fst.efficiency.get(axis)
        if cost is not None and cost.reference_x > 0:
            yield f"RL's best accuracy for fewer {axis}", name, paper, *_cost(cost, enough)
        elif cost is not None:
            yield (f"RL's best accuracy for fewer {axis}", name, paper, "RL never rose above its start", "no ratio")
    drift = fst.drift
    if drift is not None and drift.share is not None:
        yield (
            f"Less KL at like accuracy ({drift.accuracy:.2f})", name, "down to 30%, no gain on Math",
            formats.share(drift.share, drift.interval),
            _decide(drift.low, drift.high, 1.0, above=False, enough=enough),
        )  # fmt: skip
    for label, what, paper in (
        ("rl", "than RL alone", "47.4 / 43.0, 49.2 / 46.4, 25.0 / 17.3 (fitted)"),
        ("prompt", "than prompts alone", "43.3 / 34.5, 48.4 / 20.3, 21.2 / 10.6"),
        ("rl_prompt", "than RL, then prompts", "not tried"),
        ("prompt_rl", "than prompts, then RL", "not tried"),
    ):
        arm = next((arm for arm in comparison.arms if arm.label == label), None)
        if arm is not None:
            yield f"Higher at the end {what}", name, paper, *_ends(fst, arm)


def _cost(cost: Efficiency, enough: bool) -> tuple[str, str]:
    if cost.ratio is None:
        return "not reached", "fails" if enough else "undecided"
    if cost.low is None or cost.high is None:
        return formats.times(cost.ratio), "undecided"
    low = "not reached" if cost.low == 0 else formats.times(cost.low)
    here = f"{formats.times(cost.ratio)} ({low} to {formats.times(cost.high)})"
    return here, _decide(cost.low, cost.high, 1.0, above=True, enough=enough)


def _decide(low: float | None, high: float | None, mark: float, *, above: bool, enough: bool) -> str:
    if low is None or high is None or not enough:
        return "undecided"
    if low > mark:
        return "holds" if above else "fails"
    if high < mark:
        return "fails" if above else "holds"
    return "undecided"


def _ends(ours: Arm, theirs: Arm) -> tuple[str, str]:
    """Final accuracies. No interval: three seeds are compared by whether the worst of one side beats the best of the
    other, which chance alone does once in ten times."""
    a, b = ([run.curve().y[-1] for run in arm.runs if len(run.curve())] for arm in (ours, theirs))
    if not a or not b:
        return "not measured", "undecided"
    here = f"{mean(a):.2f} ({min(a):.2f} to {max(a):.2f}) / {mean(b):.2f} ({min(b):.2f} to {max(b):.2f})"
    if min(len(a), len(b)) < SEEDS:
        return here, "undecided"
    return here, "holds" if min(a) > max(b) else "fails" if max(a) < min(b) else "undecided"


def _plasticity(name: str, comparison: Comparison) -> Iterator[Row]:
    for label, found in areas(comparison).items():
        if label != comparison.reference_label and found.ratio is not None:
            low, high = found.sure.get("ratio", (None, None))
            share = formats.within(formats.percent(found.ratio), found.sure.get("ratio"), formats.percent)
            enough = min(len(arm.runs) for arm in comparison.arms) >= SEEDS
            yield (
                f"Still learns, {label}", name, "FST 83% and 132%, RL 0% and 109% of the base's accuracy at the end",
                f"{share} of the base's mean accuracy along the way",
                _decide(low, high, KEPT, above=True, enough=enough),
            )  # fmt: skip


def _streams(name: str, comparison: Comparison) -> Iterator[Row]:
    """What is asked of one arm against another, by accuracies at the end and by KL at like accuracy."""
    ends = {arm.label: arm for arm in stream_arms(comparison)}
    arms = {arm.label: arm for arm in comparison.arms}
    for label, other, share in VERSUS.get(name, ()):
        if label in ends and other in ends:
            yield _more_right(name, ends[label], ends[other], share)
            yield from _less_drift(name, arms[label], arms[other])
    for label in FORGETS_LITTLE.get(name, ()):
        lost = ends[label].forgotten() if label in ends else None
        if lost is not None:
            sure = ends[label].forgotten_interval()
            here = formats.within(formats.percent(lost), sure, formats.percent)
            decided = _decide(*(sure or (None, None)), 0.05, above=False, enough=len(ends[label].ends) >= SEEDS)
            yield f"At most 5% of a learned task's peak forgotten: {label}", name, "21% of FST's peak", here, decided


def _more_right(name: str, ours: StreamArm, theirs: StreamArm, share: float) -> Row:
    found, enough = ours.less(theirs, share=share), min(len(ours.ends), len(theirs.ends)) >= SEEDS
    decided = "undecided" if found is None else _decide(found.low, found.high, 0.0, above=True, enough=enough)
    here = f"{ours.average:.2f} / {theirs.average:.2f}"
    if share < 1:
        what = f"At least {share:.0%} of what is right with {theirs.label}: {ours.label}"
        return what, name, "not tried", f"{here} ({formats.percent(ours.average / theirs.average)})", decided
    what = f"More right at the end: {ours.label}, not {theirs.label}"
    return what, name, "not tried", f"{here}: {formats.difference(found)}", decided


def _less_drift(name: str, ours: Arm, theirs: Arm) -> Iterator[Row]:
    drift = kl_at_matched_accuracy(*([run.kl_curve() for run in arm.runs] for arm in (theirs, ours)))
    if drift is not None and drift.share is not None:
        what = f"Less KL at like accuracy ({drift.accuracy:.2f}): {ours.label}, not {theirs.label}"
        enough = min(len(ours.runs), len(theirs.runs)) >= SEEDS
        decided = _decide(drift.low, drift.high, 1.0, above=False, enough=enough)
        here = formats.share(drift.share, drift.interval)
        yield what, name, "not tried", here, decided


def _continual(name: str, reference: Arm, fst: Arm) -> Iterator[Row]:
    ours, theirs = measures_of_arm(fst), measures_of_arm(reference)
    if ours is None or theirs is None:
        return
    sure, their_sure = intervals(fst, reference), intervals(reference)
    enough = min(len(fst.runs), len(reference.runs)) >= SEEDS

    def both(measure: str, write: Callable[[float | None], str]) -> str:
        sides = ((ours, sure), (theirs, their_sure))
        return " / ".join(formats.within(write(numbers_of(m)[measure]), s.get(measure), write) for m, s in sides)

    low, high = sure.get("times 2", (None, None))
    decided = _decide(low, high, 1.0, above=True, enough=enough)
    yield "More learned in the second stage", name, "+19.4 / +2.4", both("acquisition 2", formats.signed), decided
    decided = _decide(*sure.get("lead", (None, None)), 0.0, above=True, enough=enough)
    yield "More right at the end, all tasks", name, "not given", both("average", formats.decimal), decided
    forgotten = both("forgetting_since_peak", formats.decimal)
    decided = _decide(*sure.get("forgotten more", (None, None)), 0.0, above=False, enough=enough)
    yield "Less forgotten since the peak", name, "21% of FST's peak", forgotten, decided


def main() -> None:
    kept, target = map(Path, sys.argv[1:3])
    text, marker = target.read_text(encoding="utf-8"), "<!-- results -->\n"
    if marker not in text:
        sys.exit(f"'{target}' has no line {marker.strip()}")
    target.write_text(text.split(marker)[0] + marker + "\n" + page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
