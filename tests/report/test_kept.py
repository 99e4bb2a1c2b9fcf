"""Reports of what was kept: plasticity, and stages of tasks one after another."""

from __future__ import annotations

import json
import math

import pytest

from fastslow.report.pages.markdown import markdown
from fastslow.report.questions.compare import compare
from fastslow.report.questions.continual import intervals
from fastslow.report.questions.plasticity import areas
from fastslow.report.questions.verdict import headline
from fastslow.report.reading.sources import load_sources

from .runs import FST, RL, make_comparison, make_run


def test_plasticity_is_a_share_of_what_the_base_learns(tmp_path):
    cells = []
    for label, model, points in (("base", "base", FST), ("from runs/a", "runs/a", RL)):
        path = label.replace("/", "-")
        make_run(tmp_path / "p" / path, "rl", 1, points, model=model)
        cells.append({"path": path, "arm": label, "mode": "rl", "seed": 1, "status": "done"})
    source = load_sources([make_comparison(tmp_path / "p", "plasticity", cells, reference="base")])
    found = headline(compare(*source)[0])
    assert found.answer == "Open", "one seed"
    assert "37.5% from runs/a" in found.sentence, "0.225 of 0.6"
    assert "| from runs/a | 1 | 0.10 | 0.40 | 0.40 | 0.23 | 37.5% | 50.0% | not reached | not reached |" in markdown(
        source
    )


@pytest.mark.parametrize(("share", "answer"), [(0.5, "Lost in part"), (1.0, "Kept")])
def test_plasticity_over_three_seeds_has_its_interval_and_a_plain_answer(tmp_path, share, answer):
    cells = []
    for label, factor in (("base", 1.0), ("from a", share)):
        for seed in (1, 2, 3):
            path = f"{label.replace(' ', '-')}-s{seed}"
            points = [(step, factor * (y + 0.01 * seed), kl) for step, y, kl in FST]
            make_run(tmp_path / "p" / path, "rl", seed, points, model=label)
            cells.append({"path": path, "arm": label, "mode": "rl", "seed": seed, "status": "done"})
    (comparison,) = compare(*load_sources([make_comparison(tmp_path / "p", "plasticity", cells, reference="base")]))
    found = areas(comparison)
    low, high = found["from a"].sure["ratio"]
    assert found["from a"].ratio == pytest.approx(share)
    assert low < share < high
    assert found["base"].sure["ratio"] == (1.0, 1.0), "a draw against itself"
    if share == 1.0:
        assert low < 0.98, "0.61 / 0.63"
        assert headline(comparison).answer == "Kept"
    else:
        assert found["from a"].sure["top"] == (math.inf, math.inf), "never reached in any draw"
    assert headline(comparison).answer == answer
    assert "95% interval over seeds" in headline(comparison).figures[0].note


def make_staged(folder, mode, gain):
    """Two tasks, 10 steps each; the first is half forgotten in the second stage."""
    seed = folder.name.rpartition("-s")[2] if "-s" in folder.name else 1
    end = 0.1 + 0.75 * gain
    make_run(folder, mode, int(seed), [(10, 0.3, 0.1), (20, end, 0.2)], tasks=["a", "b"], stage_steps=10)
    context = "seed" if mode == "rl" else "lead"
    after = {10: {"a": 0.1 + gain, "b": 0.1}, 20: {"a": 0.1 + gain / 2, "b": 0.1 + gain}}
    rows = [
        {"step": step, "weights": "trained", "context": context, "task": task, "accuracy": value}
        for step, values in after.items()
        for task, value in values.items()
    ]
    rows += [{"step": 20, "weights": "base", "context": "seed", "task": task, "accuracy": 0.1} for task in "ab"]
    (folder / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_stages_are_measured_by_what_was_learned_and_kept(tmp_path):
    for mode, gain in (("rl", 0.2), ("fst", 0.4)):
        make_staged(tmp_path / "c" / mode, mode, gain)
    cells = [{"path": m, "arm": m, "mode": m, "seed": 1, "status": "done"} for m in ("rl", "fst")]
    source = load_sources([make_comparison(tmp_path / "c", "continual", cells)])
    found = headline(compare(*source)[0])
    assert found.answer == "Open", "one seed"
    assert [figure.value for figure in found.figures] == ["0.40", "+0.40", "0.20"]
    text = markdown(source)
    for row in (
        "| measure | rl | fst |",
        "| average accuracy | 0.25 | 0.40 |",
        "| backward transfer | -0.10 | -0.20 |",
        "| forward transfer | +0.00 | +0.00 |",
        "| forgotten since learned | 0.10 | 0.20 |",
        "| share of the peak still there | 66.7% | 60.0% |",
        "| acquired in stage 2 | +0.20 | +0.40 |",
        "| acquired in stage 2, of the most | 50.0% | 100.0% |",
        "| acquired in stage 2, times plain RL's | n/a | 2.0x |",
    ):
        assert row in text, row


def test_stages_of_three_seeds_have_intervals_and_a_plain_answer(tmp_path):
    cells = []
    for mode, gain in (("rl", 0.2), ("fst", 0.4)):
        for seed in (1, 2, 3):
            make_staged(tmp_path / "c" / f"{mode}-s{seed}", mode, gain + 0.01 * seed)
            cells.append({"path": f"{mode}-s{seed}", "arm": mode, "mode": mode, "seed": seed, "status": "done"})
    source = load_sources([make_comparison(tmp_path / "c", "continual", cells)])
    (comparison,) = compare(*source)
    found = intervals(comparison.arms[1], comparison.reference)
    half = 4.30265 * 0.01 / 3**0.5  # Student's, of three gains 0.01 apart
    assert found["average"] == pytest.approx((0.1 + 0.75 * (0.42 - half), 0.1 + 0.75 * (0.42 + half)), abs=1e-6)
    assert found["forgetting_since_peak"] == pytest.approx((0.21 - half / 2, 0.21 + half / 2), abs=1e-6)
    low, high = found["times 2"]
    assert 1.0 < low < 0.41 / 0.23 < 0.43 / 0.21 < high
    assert found["lead"][0] > 0
    assert headline(comparison).answer == "Yes"
    (row,) = [line for line in markdown(source).splitlines() if line.startswith("| acquired in stage 1 |")]
    assert row == "| acquired in stage 1 | +0.22 (+0.20 to +0.24) | +0.42 (+0.40 to +0.44) |"


def test_a_stage_in_which_the_reference_learned_nothing_has_no_finite_ratio(tmp_path):
    for mode, gain in (("rl", 0.0), ("fst", 0.4)):
        make_staged(tmp_path / "c" / mode, mode, gain)
    cells = [{"path": m, "arm": m, "mode": m, "seed": 1, "status": "done"} for m in ("rl", "fst")]
    text = markdown(load_sources([make_comparison(tmp_path / "c", "continual", cells)]))
    assert "| acquired in stage 2, times plain RL's | n/a | infinitely |" in text


def test_an_unfinished_stage_leaves_the_measures_open(tmp_path):
    make_staged(tmp_path / "c" / "fst", "fst", 0.4)
    lines = (tmp_path / "c" / "fst" / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "c" / "fst" / "metrics.jsonl").write_text(lines[0] + "\n")
    assert "| average accuracy | not every stage was measured |" in markdown(load_sources([tmp_path / "c" / "fst"]))
