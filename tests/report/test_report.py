"""Reports from run directories made by hand: known answers, and nothing that a file holds stops one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.report.compare import compare, kl_at, matched_accuracy
from fastslow.report.data import load_run
from fastslow.report.markdown import markdown, verdict

TASK = "reasoning_gym:gcd"


def make_run(folder: Path, mode: str, seed: int, points, *, done: bool = True, cost: int = 64, **config) -> Path:
    """`points`: (step, accuracy, kl) of every evaluation; `cost`: rollouts a step."""
    folder.mkdir(parents=True)
    settings = {"mode": mode, "seed": seed, "task": TASK, "model": "tiny", **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    context = "seed" if mode == "rl" else "lead"
    rows = [
        {
            "phase": "eval", "step": step, "wall_s": 2.0 * step,
            "rollouts": {"slow": cost * step, "fast": 0, "reused": 0}, "tokens": {"slow": 10 * cost * step, "fast": 0},
            f"eval_{context}_accuracy": y, f"eval_{context}_kl": kl,
        }
        for step, y, kl in points
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "evals.jsonl").write_text("")
    if done:
        last = points[-1]
        summary = {
            "status": "done", "mode": mode, "task": TASK, "steps": last[0], "rollouts": rows[-1]["rollouts"],
            "accuracy": {"base_seed": 0.1, "base_lead": 0.2, context: last[1]}, "kl_to_base": {context: last[2]},
        }  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


RL = [(10, 0.1, 0.2), (20, 0.2, 0.6), (30, 0.4, 1.0)]
FST = [(10, 0.4, 0.25), (20, 0.6, 0.5), (30, 0.8, 0.9)]


def test_arms_are_compared_with_plain_rl_on_every_axis(tmp_path):
    paths = [make_run(tmp_path / f"rl{s}", "rl", s, RL) for s in (1, 2)]
    paths += [make_run(tmp_path / f"fst{s}", "fst", s, FST, cost=100) for s in (1, 2)]
    (comparison,) = compare([load_run(path) for path in paths])
    rl, fst = comparison.arms
    assert (rl.mode, fst.mode, len(fst.runs)) == ("rl", "fst", 2)
    assert fst.efficiency["steps"].ratio == 3.0
    assert fst.efficiency["rollouts"].ratio == pytest.approx(30 * 64 / (10 * 100))
    assert (fst.efficiency["steps"].low, fst.efficiency["steps"].high) == (3.0, 3.0), "seeds that agree"
    assert matched_accuracy(rl, fst) == 0.4
    assert (kl_at(fst, 0.4), kl_at(rl, 0.4), kl_at(rl, 0.5)) == (0.25, 1.0, None)
    assert "with 3.0x fewer optimiser steps and 1.9x fewer rollouts (2 against 2 seeds)" in verdict(comparison)


def test_an_arm_that_never_gets_there_is_said_so(tmp_path):
    runs = [make_run(tmp_path / "rl", "rl", 1, RL), make_run(tmp_path / "fst", "fst", 1, [(10, 0.1, 0.1)])]
    text = markdown([load_run(path) for path in runs])
    assert "Not on reasoning_gym:gcd: fst never came to plain RL's best accuracy 0.40" in text
    assert "| fst | not reached | not reached | not reached | not reached |" in text


def test_more_rollouts_are_called_more(tmp_path):
    runs = [make_run(tmp_path / "rl", "rl", 1, RL), make_run(tmp_path / "fst", "fst", 1, FST, cost=640)]
    assert "3.0x fewer optimiser steps and 3.3x more rollouts" in markdown([load_run(path) for path in runs])


def test_tasks_and_models_are_never_mixed(tmp_path):
    runs = [make_run(tmp_path / "a", "rl", 1, RL), make_run(tmp_path / "b", "fst", 1, FST, model="other")]
    assert len(compare([load_run(path) for path in runs])) == 2


@pytest.mark.parametrize(
    ("file", "content", "notice"),
    [
        ("summary.json", None, "not finished"),
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", '{"status": "stopped by SIGINT", "accuracy": 3}', "stopped by SIGINT"),
        ("metrics.jsonl", None, "metrics.jsonl cannot be read"),
        (
            "metrics.jsonl",
            '{"phase": "eval"\n[1]\n{"phase": "eval", "step": "x"}\n',
            "2 damaged lines left out, line 1",
        ),
        ("metrics.jsonl", "", "no evaluation yet"),
        ("metrics.jsonl", '{"phase": "eval", "step": 5, "rollouts": 7, "eval_lead_accuracy": 1e999}\n', ""),
        ("config.yaml", "{", "config.yaml cannot be read"),
        ("config.yaml", "[1]", ""),
    ],
)
def test_unfinished_and_damaged_runs_give_a_notice_and_a_page(tmp_path, capsys, file, content, notice):
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    assert main(["report", str(folder), str(make_run(tmp_path / "rl", "rl", 1, RL))]) == 0
    shown = capsys.readouterr().out
    assert notice in shown
    assert "`run`" in shown


def test_names_from_files_cannot_leave_their_cell(tmp_path):
    folder = make_run(tmp_path / "a|b`c", "fst", 1, FST, task="x|<script>alert(1)</script>\n# y")
    (folder / "summary.json").unlink()
    text = markdown([load_run(folder)])
    assert "<script" not in text
    assert "\n# y" not in text
    assert "`a\\|b'c`" in text


def test_the_report_goes_to_a_file(tmp_path, capsys):
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    assert main(["report", str(folder), "--output", str(tmp_path / "report.md")]) == 0
    assert (tmp_path / "report.md").read_text().startswith("# fastslow report")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("argv", [[], ["nowhere"], ["RUN", "--output", "nowhere/report.md"]])
def test_bad_commands_are_one_line(tmp_path, capsys, argv):
    argv = [str(make_run(tmp_path / "run", "fst", 1, FST)) if a == "RUN" else a for a in argv]
    assert main(["report", *argv]) == 2
    assert capsys.readouterr().err.count("\n") == 1
