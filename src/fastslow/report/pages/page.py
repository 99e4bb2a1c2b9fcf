"""A report as one HTML file that opens offline.

Whatever comes from files may have been written by a model, and is hostile: the template escapes every value, data for
the script is JSON in which no tag can end, and the policy of the page lets only the two scripts named by their hash
run and nothing be loaded or sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fastslow.report.pages import formats, tables
from fastslow.report.pages.charts import CONTEXT_NAMES, contexts_of, payload
from fastslow.report.pages.label_tables import taken_for
from fastslow.report.pages.markdown import all_notices, tables_of
from fastslow.report.pages.safe import content_policy, template
from fastslow.report.questions.compare import Comparison, compare, headings
from fastslow.report.questions.continual import Stages, stages_of
from fastslow.report.questions.controls import few_seeds
from fastslow.report.questions.course import Course, course_of
from fastslow.report.questions.examples import shelves
from fastslow.report.questions.lineage import Lineage, Node, Segment, difference, lineage, readable
from fastslow.report.questions.routes import KINDS, slices
from fastslow.report.questions.verdict import headline
from fastslow.report.reading.data import AXES, RunData
from fastslow.report.reading.sources import Source
from fastslow.report.reading.values import mapping, text

# Most contexts and rollouts shown over all runs of a report: within these limits a page of twelve long runs is small.
CONTEXTS_SHOWN = 240
FEWEST_CONTEXTS = 8
RUNS_WITH_ROLLOUTS = 12
LONGEST_CONFIG = 12_000

View = Literal["page", "figure"]


@dataclass(frozen=True)
class Matrix:
    """Accuracies by task; each of `rows` holds a name and values, each value with whether it is framed."""

    title: str
    corner: str
    tasks: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[float | None, bool]]]]
    notes: Sequence[str]


@dataclass(frozen=True)
class CourseView:
    """One run over several tasks, as the page shows it."""

    name: str
    label: str
    matrix: Matrix
    clusters: tables.Table | None
    changes: str


@dataclass(frozen=True)
class LineageView:
    """The contexts of one run, as the page shows them; `nodes` come with the lines of their edits."""

    name: str
    summary: str
    members: Sequence[Node]
    nodes: Sequence[tuple[Node, Sequence[Sequence[Segment]]]]
    left_out: int


@dataclass(frozen=True)
class RunView:
    """The settings, machine and versions of one run."""

    name: str
    status: str
    facts: Sequence[tuple[str, str]]
    config: str


def page(sources: Sequence[Source], *, view: View = "page") -> str:
    """Return the whole report as HTML; the view `figure` shows verdicts and curves alone, for a picture."""
    pairs = [(source, comparison) for source in sources for comparison in compare(source)]
    limit = max(FEWEST_CONTEXTS, CONTEXTS_SHOWN // max(1, sum(len(c.runs) for _, c in pairs)))
    drawn = [{**payload(comparison), "tasks": comparison.tasks} for _, comparison in pairs]
    titles = headings([comparison for _, comparison in pairs])
    articles = [
        _article(f"c{at}", title, comparison, data, limit)
        for at, (title, (_, comparison), data) in enumerate(zip(titles, pairs, drawn, strict=True))
    ]
    runs = [run for source in sources for run in source.runs]
    script, style = _asset("report.js"), _asset("style.css")
    plotly = get_plotlyjs() if any(data["charts"] for data in drawn) else ""
    return template(_asset("page.html")).render(
        view=view,
        policy=content_policy(script, plotly),
        style=Markup(style), script=Markup(script), plotly=Markup(plotly), drawn=bool(plotly), data=_data(drawn),
        articles=articles, axes=AXES,
        notices=all_notices(sources),
        run_count=len(runs),
        runs=[_run(run) for run in runs],
        readable=readable, decimal=formats.decimal,
        heat=lambda value: 0 if value is None else max(0, min(10, round(10 * value))),
    )  # fmt: skip


def _article(name: str, title: str, comparison: Comparison, drawn: dict[str, Any], limit: int) -> dict[str, Any]:
    head = headline(comparison)
    evolved = [run for run in comparison.runs if run.contexts or run.population.get("archive")]
    # Runs without a fast channel have one context throughout, so the other runs come first.
    recorded = sorted((run for run in comparison.runs if run.rollouts), key=lambda run: not run.channels.fast)
    rollouts = [(f"{run.name} ({run.label})", shelves(run)) for run in recorded[:RUNS_WITH_ROLLOUTS]]
    gains, routing, labels = tables.gains(comparison), tables.routing(comparison), taken_for(comparison)
    elsewhere = {tables.costs(comparison).title, *(t.title for t in (gains, routing, labels) if t is not None)}
    lineages = [_lineage(run, lineage(run, limit)) for run in evolved if run.channels.fast]
    courses = [_course(course, comparison.measure) for run in comparison.runs if (course := course_of(run)) is not None]
    sections = [
        ("labels", "Labels", labels is not None), ("curves", "Curves", True), ("numbers", "Numbers", True),
        ("stream", "Stream", bool(courses)), ("contexts", "Contexts", bool(lineages)),
        ("rollouts", "Rollouts", bool(rollouts)), ("routes", "Routes", routing is not None), ("costs", "Costs", True),
    ]  # fmt: skip
    return {
        "id": name,
        "question": head.question, "task": title, "tasks": comparison.tasks,
        "model": comparison.model, "facts": _facts(comparison), "measure": comparison.measure,
        "answer": head.answer, "sentence": head.sentence, "figures": head.figures,
        "labels": labels, "charts": drawn["charts"], "arms": drawn["arms"], "contexts": contexts_of(comparison),
        "numbers": tables.numbers(comparison, "accuracy"),
        "tables": [table for table in tables_of(comparison) if table.title not in elsewhere],
        "stages": [
            _staged(arm.label, stages, comparison.measure)
            for arm in comparison.arms
            if (stages := stages_of(arm)) is not None
        ],
        "courses": courses,
        "fast": bool(lineages), "gains": gains, "lineages": lineages,
        "shelves": rollouts,
        "routing": routing, "strips": (strips := _strips(comparison)),
        "kinds": [kind for kind in KINDS if any(kind in part.shares for _, parts in strips for part in parts)],
        "costs": tables.costs(comparison),
        "sections": [(key, title) for key, title, there in sections if there],
    }  # fmt: skip


def _facts(comparison: Comparison) -> str:
    arms = ", ".join(f"{arm.label} ({formats.seeds(len(arm.runs))})" for arm in comparison.arms)
    recipe = f" Recipe {comparison.recipe}." if comparison.recipe else ""
    few = " Fewer than three seeds on a side: hardly more than a first look." if few_seeds(comparison) else ""
    graded = f" {tables.PARTIAL_CREDIT}" if comparison.graded else ""
    return f"Arms: {arms}.{recipe}{few}{graded}"


def _staged(arm: str, stages: Stages, measure: str) -> Matrix:
    rows = [("nothing yet", [(value, False) for value in stages.base])]
    for at, (task, row) in enumerate(zip(stages.tasks, stages.after, strict=True)):
        rows.append((f"stage {at + 1}: {task}", [(value, at == j) for j, value in enumerate(row)]))
    note = "Mean over seeds, under the context the arm ships. Framed: the task that the stage trained on."
    return Matrix(f"{measure.capitalize()} after each stage: {arm}", "after", stages.tasks, rows, [note, *stages.late])


def _course(course: Course, measure: str) -> CourseView:
    left_out = len(course.run.evaluations) - len(course.rows)
    context = CONTEXT_NAMES[course.run.shipped_context]
    notes = [
        f"Under the {context}. Framed: what the steps since the row above trained on.",
        *([f"{left_out} evaluations between them are left out here; evals.jsonl has them."] if left_out else []),
    ]
    rows = [(f"{r.step:,}", list(zip(r.accuracies, r.trained, strict=True))) for r in course.rows]
    matrix = Matrix(f"{measure.capitalize()} by task", "step", course.tasks, rows, notes)
    return CourseView(course.run.name, course.run.label, matrix, course.clusters, course.changes)


def _lineage(run: RunData, tree: Lineage) -> LineageView:
    members = [tree.known[name] for name in tree.members]
    accepted = sum(row.accepted for row in run.contexts)
    in_use = f"{len(members)} in use, " if members else ""
    return LineageView(
        run.name,
        f"{run.label}: {in_use}{accepted} accepted, {len(run.contexts)} proposed",
        members,
        [(node, _edit(node, tree)) for node in tree.nodes],
        tree.left_out,
    )


def _edit(node: Node, tree: Lineage) -> list[list[Segment]]:
    parent = next((tree.known[name] for name in node.parents if name in tree.known), None)
    if parent is None:
        return [[("same", line)] for line in readable(node.components)]
    return difference(readable(parent.components), readable(node.components))


def _strips(comparison: Comparison) -> list[tuple[str, Any]]:
    """Return the routes over time of each run that used several routes; a table row covers the other runs."""
    runs = [run for run in comparison.runs if len({kind for counts in run.routes.values() for kind in counts}) > 1]
    return [(run.name, slices(run)) for run in runs]


def _run(run: RunData) -> RunView:
    machine, versions = mapping(run.summary.get("machine")), mapping(run.summary.get("versions"))
    facts = [(key, text(value, "?")) for part in (machine, versions) for key, value in part.items()]
    try:
        config = (run.path / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        config = "(cannot be read)"
    if len(config) > LONGEST_CONFIG:
        config = config[:LONGEST_CONFIG] + "\n… (cut here)"
    return RunView(run.name, run.status, facts, config)


def _data(drawn: Any) -> Markup:
    """Return JSON without a character that could end a script element or begin a comment."""
    dumped = json.dumps(drawn, allow_nan=False, separators=(",", ":"))
    return Markup(dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def _asset(name: str) -> str:
    return (files("fastslow.report.pages") / "assets" / name).read_text(encoding="utf-8")
