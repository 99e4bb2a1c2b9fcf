"""One run over several tasks: the accuracy of each task over time, the tasks in each cluster, and the change points
that were noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastslow.report.pages import formats
from fastslow.report.pages.tables import Table
from fastslow.report.reading.data import Evaluation, RunData
from fastslow.report.reading.values import count
from fastslow.tasks.names import short_names

MOST = 60
"""Most rows of a table, and most change points of a line; the files of a long run have the rest."""


@dataclass(frozen=True)
class Row:
    """One evaluation: the accuracies in the order of the tasks, and which tasks were trained on since the row
    before."""

    step: int
    accuracies: list[float | None]
    trained: list[bool]


@dataclass(frozen=True)
class Course:
    """One run over several tasks. `clusters` and `changes` are filled only where the learner had to find the tasks."""

    run: RunData
    tasks: list[str]
    rows: list[Row]
    clusters: Table | None
    changes: str


def course_of(run: RunData) -> Course | None:
    """Return the course of a run, or None for one task without clusters, and where nothing was measured or routed
    yet."""
    names = short_names(run.tasks)
    rows, clusters = _rows(run), _clusters(run)
    if not (clusters or (rows and len(names) > 1)):
        return None
    return Course(run, list(names.values()), rows, clusters, _changes(run))


def _rows(run: RunData) -> list[Row]:
    rows, since, latest = [], 0, 0
    for point in _some(run.evaluations):
        if point.step > latest:  # two evaluations at one step follow the same training
            since, latest = latest, point.step
        trained = {task for step in run.trained if since <= step < latest for task in run.trained[step]}
        values = [point.values.get((task, run.shipped_context, "accuracy")) for task in run.tasks]
        rows.append(Row(point.step, values, [task in trained for task in run.tasks]))
    return rows


def _some(points: Sequence[Evaluation]) -> Sequence[Evaluation]:
    if len(points) <= MOST:
        return points
    return [points[round(at * (len(points) - 1) / (MOST - 1))] for at in range(MOST)]


def _clusters(run: RunData) -> Table | None:
    """Count groups by cluster and true task."""
    if run.config.get("clusters") != "inferred" or not run.groups:
        return None
    tasks = list(dict.fromkeys([*run.tasks, *(task for _, task in run.groups)]))
    clusters = sorted({cluster for cluster, _ in run.groups}, key=lambda name: (len(name), name))  # c2 before c10
    counts = [[run.groups[cluster, task] for task in tasks] for cluster in clusters]
    purity = sum(map(max, counts)) / run.groups.total()
    names = short_names(tasks)
    return Table(
        "Clusters and true tasks",
        ("cluster", *(names[task] for task in tasks)),
        [(cluster, *map(str, row)) for cluster, row in zip(clusters, counts, strict=True)],
        [
            "Groups, by the cluster they were in when they were routed: later splits do not show here. Purity "
            f"{formats.decimal(purity)}: the share of groups whose cluster is mostly of their own task."
        ],
    )


def _changes(run: RunData) -> str:
    """Describe the change points. The stream begins with batch 0, which does not count as a change."""
    if run.config.get("clusters") != "inferred":
        return ""
    seen = [
        (count(row.numbers.get("change")), count(row.numbers.get("batch")))
        for row in run.metrics
        if row.phase == "clusters"
    ]
    changes = [f"from batch {change} on (seen at {batch})" for change, batch in seen if change is not None and batch]
    if not changes:
        return "No change point was noticed."
    more = f", and {len(changes) - MOST} more" if len(changes) > MOST else ""
    return f"Change points noticed: {', '.join(changes[:MOST])}{more}. Batches are counted from 0, one a step."
