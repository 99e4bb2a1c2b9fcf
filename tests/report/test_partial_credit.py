"""A mean reward is called a share of questions only where every reward is 0 or 1."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastslow.report.pages.markdown import markdown
from fastslow.report.pages.page import page
from fastslow.report.reading.data import load_run
from fastslow.report.reading.sources import load_sources

from .runs import FST, RL, make_comparison, make_run, read_lines, write_lines

ROW = {"weights": "trained", "task": "a", "accuracy": 0.5}


def credited(folder: Path, fully_right: float) -> None:
    """Add the evaluations of a run at its steps, whose answers are worth half of the reward on average."""
    rows = read_lines(folder / "evals.jsonl")
    tasks = {row["task"] for row in rows} or {"a"}
    steps = [row["step"] for row in read_lines(folder / "metrics.jsonl")]
    rows += [
        {**ROW, "step": step, "context": context, "task": task, "fully_right": fully_right}
        for step in steps
        for context in ("seed", "lead")
        for task in tasks
    ]
    write_lines(folder / "evals.jsonl", rows)


def made(folder: Path, kind: str, fully_right: float):
    cells = []
    tasks: dict[str, Any] = {"tasks": ["a", "b"], "stage_steps": 10} if kind == "continual" else {}
    for label, mode, points in (("base", "rl", RL), ("other", "rl" if kind == "plasticity" else "fst", FST)):
        make_run(folder / label, mode, 1, points, **tasks)
        if tasks:
            rows = [{**ROW, "step": s, "context": "seed", "task": t, "weights": "base"} for s in (10, 20) for t in "ab"]
            write_lines(folder / label / "evals.jsonl", rows)
        credited(folder / label, fully_right)
        cells.append({"path": label, "arm": label, "mode": mode, "seed": 1, "status": "done"})
    return load_sources([make_comparison(folder, kind, cells, reference="base")])


@pytest.mark.parametrize("kind", ["compare", "plasticity", "continual"])
def test_no_table_title_or_sentence_calls_partial_credit_an_accuracy(tmp_path, kind):
    graded, whole = made(tmp_path / "graded", kind, 0.25), made(tmp_path / "whole", kind, 0.5)
    shown = markdown(graded)
    assert [line for line in shown.splitlines() if "accurac" in line.lower()] == []
    assert "| fully right: plain / best prompt / mean |" in shown
    assert "0.25 / " in shown
    assert "mean reward" not in markdown(whole)
    assert "fully right" not in markdown(whole)
    html = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page(graded), flags=re.S)
    words = re.sub(r'"(accuracy|chart)":?|data-chart="\w+"|value="\w+"', "", html)
    assert re.findall(r".{30}[Aa]ccurac.{30}", words) == []
    assert "Mean reward" in words
    assert "share of held-out answers with full reward" in words


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("routes.jsonl", {"step": 1, "route": "both", "rewards": [0, 1, None, 0.25]}),
        ("rollouts.jsonl", {"step": 1, "reward": 0.25}),
        ("evals.jsonl", {**ROW, "step": 1, "context": "lead", "fully_right": 0.25}),
    ],
)
def test_one_reward_between_zero_and_one_tells_partial_credit_in_any_file(tmp_path, name, row):
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    for rewards in ({"rewards": [0, 1, None]}, {"reward": 1.0}, {"accuracy": 0.25}):
        key = next(iter(rewards))
        if key in row:
            (folder / name).write_text(json.dumps({**row, **rewards, "step": 1}) + "\n")
            assert not load_run(folder).graded
    (folder / name).write_text(json.dumps(row) + "\n")
    assert load_run(folder).graded
