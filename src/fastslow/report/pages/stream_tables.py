"""The tables of runs over several tasks: what each arm knows at the end, and of which task."""

from __future__ import annotations

from fastslow.report.pages import formats
from fastslow.report.pages.tables import Table
from fastslow.report.questions.compare import Arm, Comparison, mean_or_none
from fastslow.report.questions.continual import stages_of
from fastslow.report.questions.streams import StreamArm, stream_arms
from fastslow.tasks.names import short_names


def streams(comparison: Comparison) -> Table | None:
    """Return the table of the arms, or None unless the runs went over several tasks without stages."""
    arms = _unstaged(comparison)
    if not arms:
        return None
    rows = [
        (
            arm.label, formats.decimal(arm.average),
            formats.within(formats.percent(arm.forgotten()), arm.forgotten_interval(), formats.percent),
            *map(formats.percent, (
                arm.worst_forgotten(), arm.rate("fast"), arm.rate("slow"), arm.selection("right_topic"))),
            formats.signed(arm.selection("gain")),
        )
        for arm in arms
    ]  # fmt: skip
    head = (
        "arm", f"{comparison.measure} at the end", "forgotten", "worst of any task and seed", "to FAST", "to SLOW",
        "right topic", "gain over the lead",
    )  # fmt: skip
    notes = [
        f"{comparison.measure.capitalize()} is the mean over tasks, under what the arm ships. Forgotten is the part of "
        "a learned task's peak that is gone at the end; in brackets the 95% interval over seeds. Then the shares of "
        "the groups routed to each channel, and of contexts chosen by the question how often the topic was the task's, "
        "and what the choice brought.",
    ]
    return Table("At the end of the stream", head, rows, notes)


def by_task(comparison: Comparison) -> Table | None:
    """Return what each arm is worth at the end on each task, which a mean over tasks hides; None for one task alone,
    and where no run says."""
    tasks = comparison.tasks
    if len(tasks) < 2 or comparison.kind == "plasticity":
        return None
    rows = [(arm.label, *(_level(arm, task) for task in tasks)) for arm in comparison.arms]
    if all(cell == formats.NOTHING for row in rows for cell in row[1:]):
        return None
    names = short_names(tasks)
    notes = ["Under what the arm ships: the mean over seeds, and the lowest and the highest seed in brackets."]
    return Table("At the end, task by task", ("arm", *(names[task] for task in tasks)), rows, notes)


def _level(arm: Arm, task: str) -> str:
    known = [run.final(run.shipped_context, task) for run in arm.runs]
    level = mean_or_none(known)
    values = [value for value in known if value is not None]
    if level is None:
        return formats.NOTHING
    return formats.within(formats.decimal(level), (min(values), max(values)), formats.decimal)


def _unstaged(comparison: Comparison) -> list[StreamArm]:
    """Return the arms of runs without stages; runs through stages have a table of their own."""
    return [] if any(stages_of(arm) for arm in comparison.arms) else stream_arms(comparison)


def differences(comparison: Comparison) -> Table | None:
    """Compare the accuracies of all pairs of arms at the end of the stream; None with fewer than two arms."""
    arms = _unstaged(comparison)
    if len(arms) < 2:
        return None
    rows = [
        (arm.label, *("" if other is arm else formats.difference(arm.less(other)) for other in arms))
        for arm in arms
    ]  # fmt: skip
    notes = ["Paired by seed, with the 95% interval of Student's t."]
    return Table("At the end of the stream, row less column", ("", *(arm.label for arm in arms)), rows, notes)
