"""Experiments: cells planned, run in processes of their own, picked up again, and reported whatever became of them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
import yaml
from rich.console import Console

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.experiments.plan import parse_modes, parse_seeds, parse_sweep, plan_arms, plan_modes, plan_plasticity
from fastslow.files.locks import alone_in
from tests.support.nursery import forked_cell
from tests.support.runs import tiny_settings

ROOT = Path(__file__).parents[2]


def recipe(folder: Path, **overrides) -> str:
    """A recipe whose runs take a second or two, without an output directory."""
    settings = {**tiny_settings(folder), "eval_strategy": "steps", "eval_steps": 1, "save_bundle": False, **overrides}
    settings.pop("output_dir")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value is not None}))
    return str(path)


def plan(folder: Path) -> dict:
    return json.loads((folder / "comparison.json").read_text())


@pytest.fixture
def forked(monkeypatch):
    monkeypatch.setattr("fastslow.experiments.experiment._child", forked_cell)


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_modes_seeds_and_sweeps_as_people_write_them():
    assert parse_modes("fst, rl,fst") == ["fst", "rl"]
    assert parse_modes("sequential,rl") == ["rl_prompt", "prompt_rl", "rl"]
    assert parse_seeds("3") == [1, 2, 3]
    assert parse_seeds("7,11") == [7, 11]
    assert parse_seeds("7,") == [7]
    assert parse_sweep(["population_size=1,2", "loss_type=grpo"]) == {
        "population_size": ["1", "2"],
        "loss_type": ["grpo"],
    }


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: parse_modes("fts"), "Did you mean 'fst'"),
        (lambda: parse_modes(","), "at least one mode"),
        (lambda: parse_seeds("0"), "between 1 and 1000"),
        (lambda: parse_seeds("-1"), "number"),
        (lambda: parse_seeds("1,x"), "got '1,x'"),
        (lambda: parse_sweep(["population_size"]), "SETTING=VALUE"),
        (lambda: parse_sweep(["population=1"]), "Did you mean 'population_size'"),
        (lambda: parse_sweep(["mode=fst"]), "cannot be swept over"),
    ],
)
def test_what_cannot_be_planned_is_refused(call, said):
    with pytest.raises(BadInput, match=said):
        call()


def test_what_an_experiment_cannot_be_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path)
    listed = tmp_path / "listed.yaml"
    listed.write_text(Path(path).read_text() + "compare:\n  sweep: [1, 2]\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("mode: rl\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/comparison.json").write_text(json.dumps({"kind": "plasticity", "cells": []}))
    for argv, said in (
        ([path, "--mode", "fst"], "give --modes"),
        ([path, "--seed=5"], "give --seeds"),
        ([path, "--config", "x"], "give the recipe"),
        ([str(listed)], "'sweep' must hold"),
        ([path, "--output_dir", "run"], "'run' holds a run"),
        ([path, "--output_dir", "other"], "holds a plasticity experiment"),
    ):
        assert main(["compare", *argv, "--dry_run"]) == 2
        *_, last = capsys.readouterr().err.splitlines()
        assert said in last, argv


def test_an_experiment_has_another_place_than_a_run_of_its_recipe(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path)
    made = tmp_path / "runs" / Path(path).stem
    made.mkdir(parents=True)
    (made / "config.yaml").write_text("mode: rl\n")
    assert main(["compare", path, "--modes", "rl", "--seeds", "1", "--dry_run"]) == 0
    place = tmp_path / "runs" / f"{Path(path).stem}-compare"
    (place / "rl-s1").mkdir(parents=True)
    (place / "config.yaml").write_text("mode: rl\n")
    assert main(["compare", path, "--modes", "rl", "--seeds", "1", "--dry_run"]) == 2
    assert f"'runs/{Path(path).stem}-compare' holds a run" in capsys.readouterr().err


def test_a_dry_run_reads_the_data_of_its_cells_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(recipe(tmp_path))
    words = ["compare", str(path), "--modes", "rl,fst", "--seeds", "2", "--dry_run"]
    assert main(words) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("data of ")]
    assert len(said) == 1
    assert said[0] == "data of task: 30 training, 6 validation, 4 test examples"
    for task, why in (("jsonl:none.jsonl", "none.jsonl"), ("nothing_like_it", "nothing_like_it")):
        assert main([*words, "--task", task]) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_estimate_follows_the_steps_asked_for_and_says_its_source(tmp_path, capsys):
    path = Path(recipe(tmp_path))
    path.write_text(path.read_text() + "compare:\n  minutes: 12\n")
    own = yaml.safe_load(path.read_text())["max_steps"]
    for flags, minutes in (([], 24), (["--max_steps", str(3 * own)], 72)):
        assert main(["compare", str(path), "--modes", "rl", "--seeds", "2", *flags, "--dry_run"]) == 0
        said = f"2 of 2 cells to run: about {minutes} minutes (by the recipe's minutes a cell, in proportion to steps"
        assert said in capsys.readouterr().err


def test_seeds_made_with_other_settings_are_not_averaged_with_these(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path)
    experiment = plan_modes("out", kind="compare", title="x", flags=["--config", path], modes=["rl"], seeds=[1])
    experiment.write()
    (tmp_path / "out/rl-s1").mkdir()
    made_with = experiment.cells[0].settings
    (tmp_path / "out/rl-s1/config.yaml").write_text(yaml.safe_dump(made_with))
    assert main(["compare", path, "--modes", "rl", "--seeds", "7,", "--output_dir", "out", "--dry_run"]) == 0
    assert main(["compare", path, "--modes", "rl", "--seeds", "1,7", "--output_dir", "out", "--dry_run"]) == 0
    assert "rl-s1: unfinished\nrl-s7: missing" in capsys.readouterr().err, "what will go on, and what begins"
    (tmp_path / "out/rl-s1/config.yaml").write_text(yaml.safe_dump({**made_with, "max_steps": 99}))
    assert main(["compare", path, "--modes", "rl", "--seeds", "7,", "--output_dir", "out", "--dry_run"]) == 2
    assert "is a seed of the arm 'rl' made with other settings (max_steps)" in capsys.readouterr().err
    assert main(["compare", path, "--modes", "fst", "--seeds", "7,", "--output_dir", "out", "--dry_run"]) == 0


def test_a_finished_run_of_a_recipe_without_a_learning_rate_is_known_again(tmp_path, capsys):
    path = Path(recipe(tmp_path))
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "learning_rate" not in line))
    argv = ["compare", str(path), "--modes", "rl", "--seeds", "1", "--output_dir", str(tmp_path / "out")]
    assert main(argv) == 0
    assert yaml.safe_load((tmp_path / "out/rl-s1/config.yaml").read_text())["learning_rate"] > 0
    assert main([*argv, "--dry_run"]) == 0
    assert "0 of 1 cells to run" in capsys.readouterr().err
    assert main([*argv, "--learning_rate", "0.5", "--dry_run"]) == 2


@pytest.mark.parametrize("settings", [{}, {"max_steps": 99}])
def test_a_cell_that_another_process_works_on_is_neither_failed_nor_deleted(tmp_path, capsys, monkeypatch, settings):
    """An experiment that was killed leaves its run alive; `rl-s1` is broken off, or of other settings."""
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path)
    flags = ["--config", path]
    experiment = plan_modes("out", kind="compare", title="x", flags=flags, modes=["fst", "rl"], seeds=[1])
    with alone_in("out/rl-s1"):
        Path("out/rl-s1/config.yaml").write_text(yaml.safe_dump({**experiment.cells[1].settings, **settings}))
        before = sorted(Path("out").rglob("*"))
        assert main(["compare", path, "--modes", "fst,rl", "--seeds", "1", "--output_dir", "out"]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert f"'out/rl-s1' is being worked on by process {os.getpid()}; wait for it to end" in last
    assert {*Path("out").rglob("*")} - {*before} == {Path("out/.lock")}, "refused before the first cell has begun"


@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143)])
def test_a_cell_stopped_while_it_loads_is_not_failed_and_the_next_one_does_not_begin(tmp_path, monkeypatch, name, code):
    stopped = tmp_path / "python"
    # SIGINT is ignored in whatever a shell starts in the background, this suite perhaps, and children inherit that.
    blow = (
        f"import os, signal\nsignal.signal(signal.SIG{name}, signal.SIG_DFL)\nos.kill(os.getpid(), signal.SIG{name})\n"
    )
    stopped.write_text(f"#!{sys.executable}\n{blow}")
    stopped.chmod(0o755)
    flags = ["--config", recipe(tmp_path)]
    experiment = plan_modes(tmp_path / "out", kind="compare", title="x", flags=flags, modes=["fst", "rl"], seeds=[1])
    monkeypatch.setattr(sys, "executable", str(stopped))
    console = Console(file=io.StringIO(), width=200)
    assert experiment.run(console) == code
    assert [cell["status"] for cell in plan(tmp_path / "out")["cells"]] == [f"stopped by SIG{name}", "missing"]
    said = cast(io.StringIO, console.file).getvalue()
    assert "2 of 2 cells are not done. To go on with all of them, give the same command again." in said


def test_arms_that_differ_in_marks_alone_or_have_endless_names_live_apart(tmp_path):
    flags = ["--config", recipe(tmp_path)]
    model = str(tmp_path / "model")
    starts: dict[str, str] = dict.fromkeys(("base", "from a/b", "from a-b", "from " + "x" * 300), model)
    cells = plan_plasticity(tmp_path / "out", title="x", flags=flags, starts=starts, seeds=[1]).cells
    folders = [cell.folder for cell in cells]
    assert len(set(folders)) == 4
    assert folders[1] == "from-a-b-s1"
    assert max(map(len, folders)) < 200


def planned(folder: Path, arms: dict) -> list:
    flags = ["--config", recipe(folder)]
    return plan_arms(folder, kind="compare", title="x", flags=flags, arms=arms, seeds=[1, 2]).cells


def test_arms_have_names_and_settings_of_their_own(tmp_path):
    cells = planned(tmp_path, {"both": {}, "fast half": {"router": "random:1,0.5"}, "rl": {"mode": "rl"}})

    assert [cell.folder for cell in cells[:3]] == ["both-s1", "fast-half-s1", "rl-s1"]
    assert [cell.settings["router"] for cell in cells[:3]] == ["both", "random:1,0.5", "both"]
    assert [(cell.mode, cell.seed) for cell in cells[2:4]] == [("rl", 1), ("fst", 2)]


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"a": {"ruoter": "both"}}, "Did you mean 'router'"),
        ({"a": {"seed": 3}}, "the experiment sets 'seed'"),
        ({"a": "both"}, "'setting: value' lines"),
        ({"a": {"stage_steps": "many"}}, "stage_steps"),
    ],
)
def test_arms_that_cannot_be_planned_are_refused(tmp_path, arms, said):
    with pytest.raises(BadInput, match=said):
        planned(tmp_path, arms)


@pytest.mark.processes
@pytest.mark.usefixtures("forked")
def test_a_run_made_before_a_setting_existed_is_picked_up(tmp_path, capsys):
    """It did what the setting's default does; so much is owed to whoever spent hours on it."""
    call = ["compare", recipe(tmp_path), "--modes", "rl", "--seeds", "1", "--output_dir", str(tmp_path / "cmp")]
    assert main(call) == 0
    config = tmp_path / "cmp/rl-s1/config.yaml"
    older = {k: v for k, v in yaml.safe_load(config.read_text()).items() if k not in ("rehearsal_share", "labels")}

    config.write_text(yaml.safe_dump({**older, "save_strategy": "no"}))
    capsys.readouterr()
    assert main([*call, "--dry_run"]) == 0
    assert "0 of 1 cells to run" in capsys.readouterr().err

    config.write_text(yaml.safe_dump({**older, "beta": 0.5}))
    assert main([*call, "--dry_run"]) == 2
    assert "beta" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--samples", "1" + "0" * 20], "must be at most 1,000,000"),
        (["--temperature", "nan"], "must be 0 (greedy), or from 0.01 to 100"),
        (["--top_p", "0"], "above 0 and at most 1"),
        (["--contexts", ","], "name at least one context"),
        (["--json", "."], "it is a directory"),
    ],
)
def test_eval_refuses_before_it_loads_a_model(tmp_path, capsys, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", ".", *flags]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


@pytest.mark.processes
@pytest.mark.usefixtures("forked")
def test_cells_run_once_fail_apart_and_are_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", recipe(tmp_path), "--modes", "rl,fst", "--seeds", "1", "--output_dir", "out"]
    assert main([*arguments, "--dry_run"]) == 0
    assert "2 of 2 cells to run: time unknown until one ends, 0.0 GB" in capsys.readouterr().err
    assert not Path("out").exists()

    assert main(arguments) == 0
    cells = {cell["path"]: cell for cell in plan(tmp_path / "out")["cells"]}
    assert {name: cell["status"] for name, cell in cells.items()} == {"rl-s1": "done", "fst-s1": "done"}
    assert plan(tmp_path / "out")["reference"] == "rl"
    assert (tmp_path / "out/report.html").stat().st_size > 1000
    assert "step 2/2" in (tmp_path / "out/logs/fst-s1.log").read_text()

    # A second call runs what is new and nothing else; an arm that breaks takes no other with it.
    stamp = (tmp_path / "out/rl-s1/summary.json").stat().st_mtime_ns
    (tmp_path / "task.jsonl").rename(tmp_path / "moved.jsonl")
    assert main(arguments) == 0
    assert (tmp_path / "out/rl-s1/summary.json").stat().st_mtime_ns == stamp
    assert main([*arguments[:5], "7,", *arguments[6:]]) == 1
    error = {cell["path"]: cell["error"] for cell in plan(tmp_path / "out")["cells"]}
    assert list(error) == ["rl-s7", "fst-s7", "rl-s1", "fst-s1"], "what was there before is not forgotten"
    assert "task.jsonl" in error["rl-s7"]
    assert "exit code 2" in error["rl-s7"]

    # Finished cells of other settings are not passed off as these.
    assert main([*arguments, "--max_steps", "1"]) == 2
    assert "was made with other settings (max_steps)" in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.usefixtures("environment")
def test_an_experiment_stops_with_its_cell_and_goes_on_later(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, max_steps=10_000, eval_strategy="no")  # it must not be done before it is stopped
    command = [
        sys.executable,
        "-m",
        "fastslow",
        "compare",
        path,
        "--modes",
        "rl",
        "--seeds",
        "1",
        "--output_dir",
        "out",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out/logs/rl-s1.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "step 2/" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert main(command[3:]) == 2
    assert f"is being worked on by process {process.pid}" in capsys.readouterr().err
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    (cell,) = plan(tmp_path / "out")["cells"]
    assert cell["status"] == "stopped by SIGTERM"
    summary = json.loads((tmp_path / "out/rl-s1/summary.json").read_text())
    assert summary["status"] == "stopped by SIGTERM", "the run saved what it had"
    with (tmp_path / "out/.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more


@pytest.mark.processes
@pytest.mark.usefixtures("forked")
def test_plasticity_trains_from_the_base_and_from_each_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path, save_bundle=True)
    assert main(["train", "--config", path, "--mode", "rl", "--output_dir", "first"]) == 0
    task = yaml.safe_load(Path(path).read_text())["task"]
    settings = tmp_path / "first/config.yaml"
    written = yaml.safe_load(settings.read_text()) | {
        "from_bundle": "elsewhere"
    }  # as of a run that went on from another
    settings.write_text(yaml.safe_dump(written))
    arguments = ["plasticity", "--from", "first", "--task", task, "--steps", "1", "--seeds", "1", "--output_dir", "out"]
    assert main(arguments) == 0
    found = plan(tmp_path / "out")
    assert (found["kind"], found["reference"]) == ("plasticity", "base")
    assert [(cell["arm"], cell["status"]) for cell in found["cells"]] == [("base", "done"), ("from first", "done")]
    models = [
        yaml.safe_load((tmp_path / "out" / c["path"] / "config.yaml").read_text())["model"] for c in found["cells"]
    ]
    assert models == [str(tmp_path / "model"), str(tmp_path / "first" / "bundle")]
    assert not (tmp_path / "out/base-s1/bundle").exists(), "only numbers are wanted here"
    capsys.readouterr()
    assert main(["plasticity", "--from", "out", "--task", task]) == 2
    assert "holds no finished bundle" in capsys.readouterr().err


@pytest.mark.parametrize(("place", "said"), [("taken", "is not a directory"), ("a" * 300, "cannot be a directory")])
def test_an_output_directory_that_cannot_be_one_is_refused_before_anything_runs(place, said, tmp_path):
    (tmp_path / "taken").write_text("")
    path = recipe(tmp_path)
    with pytest.raises(BadInput, match=said):
        plan_modes(tmp_path / place, kind="compare", title=path, flags=["--config", path], seeds=[1], modes=["rl"],
                   sweep={})  # fmt: skip
