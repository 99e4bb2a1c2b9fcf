"""Reports from run directories made by hand: known answers, and nothing that a file holds stops one."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.report.pages.markdown import markdown, verdict
from fastslow.report.pages.tables import drift
from fastslow.report.questions.compare import compare
from fastslow.report.questions.verdict import headline
from fastslow.report.reading.data import load_run
from fastslow.report.reading.sources import load_sources
from tests.support.present import present

from .runs import FST, RL, make_comparison, make_run, make_whole_run, read_lines, write_lines


def test_arms_are_compared_with_plain_rl_on_every_axis(tmp_path):
    paths = [make_run(tmp_path / f"rl{s}", "rl", s, RL) for s in (1, 2)]
    paths += [make_run(tmp_path / f"fst{s}", "fst", s, FST, cost=100) for s in (1, 2)]
    (comparison,) = compare(*load_sources(paths))
    rl, fst = comparison.arms
    assert (rl.mode, fst.mode, len(fst.runs)) == ("rl", "fst", 2)
    assert present(fst.efficiency["steps"]).ratio == 3.0
    assert present(fst.efficiency["rollouts"]).ratio == pytest.approx(30 * 64 / (10 * 100))
    assert (present(fst.efficiency["steps"]).low, present(fst.efficiency["steps"]).high) == (3.0, 3.0), (
        "seeds that agree"
    )
    assert (
        "with 3.0x fewer optimiser steps (3.0x to 3.0x) and 1.9x fewer rollouts (1.9x to 1.9x) (2 against 2 seeds)"
        in verdict(comparison)
    )


def test_the_first_screen_has_three_numbers_and_says_how_sure_it_is(tmp_path):
    paths = [make_run(tmp_path / f"{m}{s}", m, s, p) for m, p in (("rl", RL), ("fst", FST)) for s in (1, 2, 3)]
    found = headline(compare(*load_sources(paths))[0])
    assert found.answer == "Yes"
    assert [figure.value for figure in found.figures] == ["3.0x", "3.0x", "25.0%"]
    assert "95% interval over seeds: 3.0x to 3.0x" in found.figures[0].note
    one = headline(compare(*load_sources([paths[0], paths[3]]))[0])
    assert one.answer == "Open", "a single seed gives no verdict"
    assert one.sentence.startswith("Fewer than three seeds a side, so no verdict: fst came to plain RL's best")
    assert "no interval" in one.figures[0].note


def test_fewer_steps_for_more_rollouts_pay_in_part_only(tmp_path):
    runs = [
        make_run(tmp_path / f"{mode}{seed}", mode, seed, points, cost=cost)
        for mode, points, cost in (("rl", RL, 64), ("fst", FST, 640))
        for seed in (1, 2, 3)
    ]
    found = headline(compare(*load_sources(runs))[0])
    assert found.answer == "In part"
    assert "3.0x fewer optimiser steps (3.0x to 3.0x) and 3.3x more rollouts (3.3x to 3.3x)" in found.sentence


def test_more_wall_seconds_are_said_in_the_first_sentence(tmp_path):
    runs = [make_run(tmp_path / mode, mode, 1, points) for mode, points in (("rl", RL), ("fst", FST))]
    rows = [json.loads(line) for line in (runs[1] / "metrics.jsonl").read_text().splitlines()]
    (runs[1] / "metrics.jsonl").write_text("".join(json.dumps({**r, "wall_s": 12 * r["step"]}) + "\n" for r in rows))
    found = headline(compare(*load_sources(runs))[0])
    assert "3.0x fewer rollouts, but 2.0x more wall seconds (1 against 1 seed), and to 0.80 in all." in found.sentence


def test_an_arm_that_never_gets_there_is_said_so(tmp_path):
    runs = [make_run(tmp_path / "rl", "rl", 1, RL), make_run(tmp_path / "fst", "fst", 1, [(10, 0.1, 0.1)])]
    text = markdown(load_sources(runs))
    assert "fst never came to plain RL's best accuracy 0.40" in text
    assert "| fst | not reached | not reached | not reached | not reached |" in text


def test_where_plain_rl_never_rises_there_is_no_cost_to_compare(tmp_path):
    runs = [make_run(tmp_path / f"rl{s}", "rl", s, [(0, 0.1, 0.0), (10, 0.1, 0.1)]) for s in (1, 2, 3)]
    runs += [make_run(tmp_path / f"fst{s}", "fst", s, [(0, 0.1, 0.0), *FST]) for s in (1, 2, 3)]
    found = headline(compare(*load_sources(runs))[0])
    assert found.answer == "Yes"
    assert "Plain RL never rose above its start of 0.10" in found.sentence
    assert [figure.value for figure in found.figures] == ["0.80", "0.10", "open"]
    assert "| fst | no rise | no rise | no rise | no rise |" in markdown(load_sources(runs))


def test_two_seeds_of_one_arm_leave_the_question_open(tmp_path):
    paths = [make_run(tmp_path / f"run{seed}", "fst", seed, RL) for seed in (1, 2)]
    assert headline(compare(*load_sources(paths))[0]).answer == "Open"


def test_tasks_and_models_are_never_mixed(tmp_path):
    runs = [make_run(tmp_path / "a", "rl", 1, RL), make_run(tmp_path / "b", "fst", 1, FST, model="other")]
    assert len(compare(*load_sources(runs))) == 2


def test_the_base_under_the_seed_context_is_the_start_of_every_curve(tmp_path):
    run = load_run(make_whole_run(tmp_path / "run", "fst", 1))
    for context in ("seed", "lead", "mean"):
        assert run.curve("rollouts", context=context).x[0] == 0
        assert run.curve("rollouts", context=context).y[0] == 0.03
    assert run.curve(quantity="kl").y[0] == 0.0


def test_two_evaluations_at_one_step_keep_their_own_costs(tmp_path):
    folder = make_run(tmp_path / "run", "rl_prompt", 1, [(10, 0.2, 0.1), (20, 0.3, 0.2)])
    again = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    again |= {"rollouts": {"slow": 1280, "fast": 500}, "eval_lead_accuracy": 0.6}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(again) + "\n")
    measured = {"weights": "trained", "context": "lead", "task": "reasoning_gym:gcd"}
    rows = [{**measured, "step": s, "accuracy": y} for s, y in ((10, 0.2), (20, 0.3), (20, 0.6))]
    (folder / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    curve = load_run(folder).curve("rollouts", task="reasoning_gym:gcd")
    assert (curve.x, curve.y) == ((640, 1280, 1780), (0.2, 0.3, 0.6))


@pytest.mark.parametrize(
    ("file", "content", "notice"),
    [
        ("summary.json", None, "not finished"),
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", "[" * 100_000, "summary.json cannot be read"),
        ("summary.json", '{"status": "stopped by SIGINT", "accuracy": 3}', "stopped by SIGINT"),
        ("metrics.jsonl", None, "metrics.jsonl is missing"),
        (
            "metrics.jsonl",
            '{"phase": "eval"\n[1]\n{"phase": "eval", "step": "x"}\n',
            "2 damaged lines left out, line 1",
        ),
        ("metrics.jsonl", "", "no evaluation yet"),
        ("metrics.jsonl", '{"phase": "eval", "step": 5, "rollouts": 7, "eval_lead_accuracy": 1e999}\n', ""),
        ("config.yaml", "{", "config.yaml cannot be read"),
        ("config.yaml", "a: !!timestamp x", "config.yaml cannot be read"),
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
    assert "| run |" in shown


def test_names_from_files_cannot_leave_their_cell(tmp_path):
    folder = make_run(tmp_path / "a|b`c", "fst", 1, FST, task="x|<script>alert(1)</script>\n# y ![p](http://h)")
    (folder / "summary.json").unlink()
    text = markdown(load_sources([folder]))
    assert "<script" not in text
    assert "\n# y" not in text
    assert "![p]" not in text
    assert "| a\\|b'c |" in text


def test_money_nobody_knows_is_unknown_and_not_zero(tmp_path):
    asked = make_whole_run(tmp_path / "fst", "fst", 1)
    assert "| unknown |" in markdown(load_sources([asked]))
    summary = json.loads((asked / "summary.json").read_text())
    for reflection, shown in (
        ({"calls": 3, "cost_usd": 0.125}, "$0.12"),
        ({"calls": 0}, "none asked"),
        ({"calls": 0, "cost_usd": 0.0}, "none asked"),
        ({"calls": 3, "cost_usd": 0.0}, "$0.00"),
        ({"calls": 3, "cost_usd": None}, "unknown"),
    ):
        (asked / "summary.json").write_text(json.dumps({**summary, "reflection": reflection}))
        assert shown in markdown(load_sources([asked]))


def test_cells_that_failed_are_named_with_their_error(tmp_path):
    make_run(tmp_path / "c" / "rl-s1", "rl", 1, RL)
    make_run(tmp_path / "c" / "fst-s1", "fst", 1, FST)
    cells = [
        {"path": "rl-s1", "arm": "rl", "mode": "rl", "seed": 1, "status": "done", "seconds": 90.5},
        {"path": "fst-s1", "arm": "fst population_size=8", "mode": "fst", "seed": 1, "status": "done"},
        {"path": "fst-s2", "arm": "fst", "mode": "fst", "seed": 2, "status": "failed", "error": "out of <memory>"},
        {"path": "../../etc", "arm": "fst", "mode": "fst", "seed": 3, "status": "done"},
    ]
    text = markdown(load_sources([make_comparison(tmp_path / "c", "compare", cells)]))
    assert "fst, seed 2 failed and is left out: out of &lt;memory>" in text
    assert "not inside the comparison and was not read" in text
    assert "fst population_size=8 came to plain RL's best accuracy" in text


def test_a_sweep_keeps_the_order_of_its_values(tmp_path):
    cells = []
    for label in ("rl", "fst population_size=2", "fst population_size=10"):
        for seed in (2, 10):
            path = f"{label.replace(' ', '-')}-s{seed}"
            make_run(tmp_path / "c" / path, label[:3].strip(), seed, FST)
            cells.append({"path": path, "arm": label, "seed": seed, "status": "done"})
    (comparison,) = compare(*load_sources([make_comparison(tmp_path / "c", "compare", cells)]))
    assert [arm.label for arm in comparison.arms] == ["rl", "fst population_size=2", "fst population_size=10"]
    assert [run.seed for run in comparison.arms[0].runs] == ["2", "10"]


def test_csv_has_one_number_a_row_and_no_formula(tmp_path, capsys):
    folder = make_whole_run(tmp_path / "=cmd()", "fst", 1)
    assert main(["report", str(folder), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["run"] for row in rows} == {"'=cmd()"}
    (last,) = [r for r in rows if r["step"] == "30" and r["context"] == "lead" and r["quantity"] == "accuracy"]
    assert (float(last["value"]), last["rollouts"], last["seed"]) == (pytest.approx(0.76), "1920", "1")
    assert {"reward", "entropy", "fst/fast/frontier_size"} <= {row["quantity"] for row in rows}


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.002, 3772.448, "too few seeds to tell"), (0.0, 0.3, "0.0% to 30.0%"), (2.0, 12.0, "200.0% to 1200.0%")],
)
def test_an_interval_that_says_nothing_is_not_written_as_numbers(tmp_path, low, high, shown):
    source = load_sources([make_run(tmp_path / m, m, 1, points) for m, points in (("rl", RL), ("fst", FST))])
    (comparison,) = compare(*source)
    (arm,) = comparison.others
    assert arm.drift is not None
    arm.drift = replace(arm.drift, low=low, high=high)
    table = drift(comparison)
    assert table is not None
    assert table.rows[0][-1] == shown
    assert headline(comparison).figures[-1].note.endswith(f"95% interval over seeds: {shown}")


def test_csv_tells_evaluations_at_one_step_apart(tmp_path, capsys):
    """As in mode rl_prompt, which evolves prompts after the last step."""
    folder = make_run(tmp_path / "run", "rl_prompt", 1, [(10, 0.2, 0.1), (20, 0.3, 0.1), (20, 0.5, 0.1)])
    assert main(["report", str(folder), "--format", "csv"]) == 0
    rows = [r for r in csv.DictReader(io.StringIO(capsys.readouterr().out)) if r["quantity"] == "accuracy"]
    found = {(r["step"], r["phase"], r["turn"]): float(r["value"]) for r in rows if r["context"] == "lead"}
    assert found == {("10", "eval", "0"): 0.2, ("20", "eval", "0"): 0.3, ("20", "eval", "1"): 0.5}


@pytest.mark.parametrize(
    ("name", "start"), [("r.md", b"# fastslow"), ("r.csv", b"run,arm,"), ("r.html", b"<!doctype html>")]
)
def test_the_suffix_of_the_output_says_the_format(tmp_path, capsys, name, start):
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    assert main(["report", str(folder), "--output", str(tmp_path / name)]) == 0
    written = (tmp_path / name).read_bytes()
    assert written.startswith(start)
    shown = capsys.readouterr()
    assert shown.out == ""
    size = f"{len(written) / 1e6:.1f} MB" if len(written) >= 1e6 else f"{len(written) / 1e3:.1f} kB"
    assert shown.err == f"wrote {tmp_path / name} ({size})\n"


@pytest.mark.parametrize("output", [[], ["--output", "-"]])
def test_a_report_for_a_pipe_is_the_report_alone(tmp_path, capsys, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    assert main(["report", str(folder), *output]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("# fastslow report")
    assert shown.err == ""
    assert not (tmp_path / "-").exists()


def test_a_picture_without_a_browser_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FASTSLOW_BROWSER", "no-such-browser")
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    assert main(["report", str(folder), "--output", str(tmp_path / "r.png")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "apt-get install chromium" in shown


@pytest.mark.parametrize(
    "argv",
    [[], ["nowhere"], ["RUN", "--output", "nowhere/report.md"], ["RUN", "--format", "pdf"], ["RUN", "--format", "png"]],
)
def test_bad_commands_are_one_line(tmp_path, capsys, argv):
    argv = [str(make_run(tmp_path / "run", "fst", 1, FST)) if a == "RUN" else a for a in argv]
    assert main(["report", *argv]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unreadable_plan_is_one_line(tmp_path, capsys):
    (tmp_path / "comparison.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 2
    assert "comparison.json" in capsys.readouterr().err


def test_a_run_without_measurements_belongs_to_its_task_however_the_recipe_spells_it(tmp_path):
    done = make_run(tmp_path / "a", "fst", 1, FST)
    begun = make_run(tmp_path / "b", "rl", 1, [], done=False, task="star_graph?path=2&degree=2")
    for folder in (done, begun):
        assert load_run(folder).tasks
    assert load_run(begun).tasks == ["star_graph?degree=2&path=2"]
    broken = make_run(tmp_path / "c", "rl", 1, [], done=False, task="star_graph?path")
    assert load_run(broken).tasks == ["star_graph?path"]


def test_a_seed_that_nobody_set_is_the_summarys(tmp_path):
    folder = make_run(tmp_path / "a", "fst", 1, FST)
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in settings.items() if k != "seed"}))
    assert load_run(folder).seed == "unknown"
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "seed": 42}))
    assert load_run(folder).seed == "42"


def test_arms_of_a_stream_are_held_against_each_other_by_seed(tmp_path):
    """The one learns both tasks, the other only the first, and loses half of it again; seeds differ alike in both."""
    curves = {"both": {"a": (0.5, 0.5), "b": (0.1, 0.7)}, "half": {"a": (0.6, 0.3), "b": (0.1, 0.1)}}
    cells = []
    for arm, accuracies in curves.items():
        for seed in (1, 2, 3):
            folder = tmp_path / "s" / f"{arm}-s{seed}"
            make_run(folder, "fst", seed, [(10, 0.5, 0.1), (20, 0.5, 0.2)], tasks=["a", "b"], stream="mixture")
            rows = [
                {"step": step, "weights": "trained", "context": "lead", "task": task, "accuracy": y + 0.02 * seed}
                for task, values in accuracies.items()
                for step, y in zip((10, 20), values, strict=True)
            ]
            rows += [{"step": 20, "weights": "base", "context": "seed", "task": task, "accuracy": 0.1} for task in "ab"]
            chosen = {"step": 20, "weights": "trained", "context": "cluster", "right_topic": 0.5, "gain": 0.1 * seed}
            rows += [{**chosen, "task": task, "accuracy": 0.5} for task in "ab"] if arm == "both" else []
            rows += [{**chosen, "task": "a", "right_topic": None}] if arm == "both" else []  # never met: no 0
            write_lines(folder / "evals.jsonl", rows)
            routed = [{"phase": "slow", "step": at, "fst/route/fast": at / 2, "fst/route/slow": 1.0} for at in (0, 1)]
            write_lines(folder / "metrics.jsonl", [*routed, *read_lines(folder / "metrics.jsonl")])
            cells.append({"path": folder.name, "arm": arm, "mode": "fst", "seed": seed, "status": "done"})
    text = markdown(load_sources([make_comparison(tmp_path / "s", "compare", cells, reference="half")]))
    assert "| both | 0.64 | 0.0% (0.0% to 0.0%) | 0.0% | 25.0% | 100.0% | 50.0% | +0.20 |" in text
    assert "| half | 0.24 | 46.9% (43.3% to 50.5%) | 48.4% | 25.0% | 100.0% | n/a | n/a |" in text
    assert "| both | +0.40 (+0.40 to +0.40) |  |" in text
    assert "| half |  | -0.40 (-0.40 to -0.40) |" in text


def test_what_a_mean_over_tasks_hides_stands_in_a_table_by_task(tmp_path):
    paths = []
    for mode, seed, gcd, lcm in (("rl", 1, 0.9, 0.0), ("rl", 2, 0.7, 0.0), ("fst", 1, 0.5, 1.0), ("fst", 2, 0.5, 0.8)):
        path = make_run(tmp_path / f"{mode}{seed}", mode, seed, RL, tasks=["reasoning_gym:gcd", "reasoning_gym:lcm"])
        ships = "seed" if mode == "rl" else "lead"
        by_task = {"reasoning_gym:gcd": {ships: gcd}, "reasoning_gym:lcm": {ships: lcm}}
        told = json.loads((path / "summary.json").read_text())
        (path / "summary.json").write_text(json.dumps({**told, "ships": ships, "tasks": by_task}))
        paths.append(path)
    text = markdown(load_sources(paths))
    assert "| rl | 0.80 (0.70 to 0.90) | 0.00 (0.00 to 0.00) |" in text
    assert "| fst | 0.50 (0.50 to 0.50) | 0.90 (0.80 to 1.00) |" in text
    assert "task by task" not in markdown(load_sources([make_run(tmp_path / "one", "rl", 3, RL)]))
