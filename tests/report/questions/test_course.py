"""A run over several tasks from inside, in the section 'Stream' of its page."""

from __future__ import annotations

import json
import re

from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.report.pages.page import page
from fastslow.report.questions.course import MOST, course_of
from fastslow.report.reading.data import load_run
from fastslow.report.reading.sources import load_sources
from fastslow.run.train import train
from tests.report.runs import FST, make_run, read_lines, write_lines
from tests.support.present import present
from tests.support.runs import stream_settings

TASKS = ["reasoning_gym:gcd?max_numbers=2", "star_graph?path=2"]


def make_stream(folder, steps=(10, 20, 20), clusters="inferred", **config):
    """The first task until step 10, then the second; measured once more at the end, after a fast phase."""
    points = [(step, 0.5, 0.1) for step in steps]
    make_run(folder, "fst", 1, points, tasks=TASKS, task="", clusters=clusters, **config)
    context = "lead" if clusters == "none" else "cluster"
    evals = [
        {"step": step, "weights": "trained", "context": context, "task": task, "accuracy": (at + 1) / (2 + len(steps))}
        for at, step in enumerate(steps)
        for task in TASKS
    ]
    base = [{"step": 20, "weights": "base", "context": "seed", "task": task, "accuracy": 0.0} for task in TASKS]
    write_lines(folder / "evals.jsonl", [*evals, *base])
    routes = [
        {"step": step, "task": TASKS[step >= 10], "topic": "c10" if step in (0, 12) else f"c{2 * (step >= 10)}"}
        for step in range(20)
    ]
    write_lines(folder / "routes.jsonl", [{**row, "route": "both", "router": "both"} for row in routes])
    seen = [{"phase": "clusters", "step": 0, "batch": at, "change": {0: 0, 11: 10}.get(at)} for at in range(20)]
    write_lines(folder / "metrics.jsonl", [*read_lines(folder / "metrics.jsonl"), *seen])
    return folder


def test_each_evaluation_says_what_was_trained_on_before_it(tmp_path):
    course = course_of(load_run(make_stream(tmp_path / "run")))
    assert course is not None
    assert course.tasks == ["gcd", "star_graph"]
    assert [(row.step, row.trained) for row in course.rows] == [
        (0, [False, False]), (10, [True, False]), (20, [False, True]), (20, [False, True]),
    ]  # fmt: skip
    assert [row.accuracies for row in course.rows] == [[0.0, 0.0], [0.2, 0.2], [0.4, 0.4], [0.6, 0.6]]


def test_clusters_are_counted_by_true_task_and_changes_are_told(tmp_path):
    course = course_of(load_run(make_stream(tmp_path / "run")))
    assert course is not None
    assert present(course.clusters).head == ("cluster", "gcd", "star_graph")
    assert present(course.clusters).rows == [("c0", "9", "0"), ("c2", "0", "9"), ("c10", "1", "1")]
    assert "Purity 0.95" in present(course.clusters).notes[0], "9 + 9 + 1 of 20"
    assert course.changes.startswith("Change points noticed: from batch 10 on (seen at 11).")


def test_where_nothing_had_to_be_found_nothing_is_said_of_it(tmp_path):
    course = course_of(load_run(make_stream(tmp_path / "run", clusters="none")))
    assert course is not None
    assert (course.clusters, course.changes) == (None, "")
    assert len(course.rows) == 4
    assert course_of(load_run(make_run(tmp_path / "one", "fst", 1, FST))) is None


def test_a_long_run_shows_some_of_its_evaluations_and_says_so(tmp_path):
    folder = make_stream(tmp_path / "run", steps=tuple(range(1, 200)))
    course = course_of(load_run(folder))
    assert course is not None
    assert (len(course.rows), course.rows[0].step, course.rows[-1].step) == (MOST, 0, 199)
    assert f"{200 - MOST} evaluations between them are left out here" in page(load_sources([folder]))


def test_a_real_run_without_labels_has_its_section(tmp_path):
    settings = stream_settings(
        tmp_path, stream="recur:2", labels="hidden", clusters="inferred", save_bundle=False, eval_strategy="steps",
        eval_steps=2,
    )  # fmt: skip
    train(FastSlowConfig(**settings), display=SilentDisplay())
    course = course_of(load_run(tmp_path / "run"))
    assert course is not None
    assert course.tasks == ["sums", "words", "dates"]
    assert [row.step for row in course.rows] == [0, 2, 4, 6, 8, 10, 12]
    stages = [[at == task for at in range(3)] for task in range(3)]
    assert [row.trained for row in course.rows] == [[False] * 3, *stages, *stages]
    assert all(value is not None for row in course.rows for value in row.accuracies)
    routed = (tmp_path / "run" / "routes.jsonl").read_text().splitlines()
    assert sum(int(cell) for row in present(course.clusters).rows for cell in row[1:]) == len(routed)
    noticed = [json.loads(line).get("change") for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert course.changes.count("from batch") == sum(change is not None for change in noticed)
    (section,) = re.findall(r'<section id="c0-stream".*?</section>', page(load_sources([tmp_path / "run"])), re.S)
    assert "Under the best of the cluster. Framed" in section
    assert section.count(' own"') == 6
    assert "Clusters and true tasks" in section
    assert course.changes in section
