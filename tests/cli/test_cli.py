"""The command line: what a user types, what comes back, and what bad input leaves behind (nothing)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fastslow.cli.eval import _choices
from fastslow.cli.main import COMMANDS, main
from fastslow.core.measurement import Choice
from fastslow.policy.loading import EMBEDDED
from tests.support.measurements import measurement
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings

ROOT = Path(__file__).parents[2]


def recipe(folder: Path, **overrides) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tiny_settings(folder, **overrides)))
    return str(path)


def start(folder: Path, *args: str) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "fastslow", *args], env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_run_leaves_every_file_the_docs_promise(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path, eval_strategy="steps", eval_steps=1)]) == 0
    run = tmp_path / "run"
    names = {p.name for p in run.iterdir()}
    assert {
        "config.yaml",
        "metrics.jsonl",
        "routes.jsonl",
        "contexts.jsonl",
        "evals.jsonl",
        "answers.jsonl",
        "summary.json",
        "bundle",
    } <= names
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["accuracy"]) == {"base_seed", "base_lead", "seed", "lead", "mean"}
    assert set(summary["rollouts"]) == {"slow", "fast", "reused"}
    assert set(summary["kl_to_base"]) == {"seed", "lead"}
    assert summary["status"] == "done"
    assert summary["steps"] == 2
    assert {"versions", "tokens", "wall_s", "mode", "seed", "model", "task"} <= set(summary)
    routes = [json.loads(line) for line in (run / "routes.jsonl").read_text().splitlines()]
    assert len(routes) == 2 * 3
    assert all(len(r["rewards"]) == 4 and r["route"] == "both" for r in routes)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {m["phase"] for m in metrics} >= {"fast", "slow", "eval"}
    slow = [m for m in metrics if m["phase"] == "slow"]
    assert all({"reward", "entropy", "fst/live_rows", "grad_norm"} <= set(m) for m in slow)
    # 3 problems x 4 rollouts x 2 steps: every slot was filled once, and each rollout is counted in one place only.
    assert summary["rollouts"]["slow"] + summary["rollouts"]["reused"] == 24
    assert "validation accuracy" in capsys.readouterr().out


def test_the_written_config_repeats_the_run(tmp_path: Path) -> None:
    assert main(["train", "--config", recipe(tmp_path)]) == 0
    again = ["train", "--config", str(tmp_path / "run" / "config.yaml"), "--output_dir", str(tmp_path / "again")]
    assert main(again) == 0
    for name in ("routes.jsonl", "contexts.jsonl"):
        assert (tmp_path / "run" / name).read_text() == (tmp_path / "again" / name).read_text()
    summaries = [json.loads((tmp_path / d / "summary.json").read_text()) for d in ("run", "again")]
    assert summaries[0]["accuracy"] == summaries[1]["accuracy"]


@pytest.mark.parametrize("mode", ["rl", "prompt"])
def test_baselines_are_one_flag_away(tmp_path: Path, mode: str) -> None:
    assert main(["train", "--config", recipe(tmp_path), "--mode", mode]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mode"] == mode
    assert (summary["rollouts"]["fast"] > 0) == (mode == "prompt")
    assert (summary["rollouts"]["slow"] > 0) == (mode == "rl")


def test_lora_trains_adapters_only_and_its_bundle_is_evaluated(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path), "--lora_r", "4", "--kl_examples", "2"]) == 0
    assert (tmp_path / "run" / "bundle" / "adapter_config.json").exists()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["kl_to_base"]["seed"] > 0
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run"), "--trust_task", "--json", "-", "--kl_examples", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["kl"] > 0 for r in rows if r["weights"] == "trained" and r["context"] == "seed"] == [True]


def test_eval_of_a_bundle_repeats_the_numbers_of_its_run(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path)]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run"), "--trust_task", "--json", "-", "--kl_examples", "2"]) == 0
    rows = {(r["weights"], r["context"]): r for r in json.loads(capsys.readouterr().out)}
    for key, name in ((("trained", "seed"), "seed"), (("trained", "lead"), "lead"), (("base", "lead"), "base_lead")):
        assert rows[key]["accuracy"] == pytest.approx(summary["accuracy"][name])
    assert rows["trained", "seed"]["kl"] == pytest.approx(summary["kl_to_base"]["seed"], rel=1e-3)


def test_a_run_without_a_bundle_names_none_and_eval_says_how_to_get_one(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path, save_bundle=False)]) == 0
    run = tmp_path / "run"
    assert f"run directory: {run} (summary.json, metrics.jsonl)\n" in capsys.readouterr().out
    assert main(["eval", str(run)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"fastslow train --config {run / 'config.yaml'} --save_bundle true --output_dir ANOTHER" in said
    again = ["--config", str(run / "config.yaml"), "--save_bundle", "true", "--output_dir", str(tmp_path / "again")]
    assert main(["train", *again]) == 0
    assert "(summary.json, metrics.jsonl, bundle/)\n" in capsys.readouterr().out
    assert main(["eval", str(tmp_path / "again"), "--trust_task", "--kl_examples", "0"]) == 0


def test_eval_takes_other_tasks_and_every_member(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path)]) == 0
    capsys.readouterr()
    tasks = ["--tasks", "reasoning_gym:gcd,reasoning_gym:products?max_terms=2", "--tasks", "star_graph?degree=2&path=2"]
    flags = ["--contexts", "seed,all", "--limit", "3", "--samples", "2", "--temperature", "1", "--kl_examples", "0"]
    assert main(["eval", str(tmp_path / "run"), *tasks, *flags, "--json", str(tmp_path / "rows.json")]) == 0
    shown = capsys.readouterr().out
    assert "mean@2" in shown
    assert "best@2" in shown
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len({r["task"] for r in rows}) == 3
    members = json.loads((tmp_path / "run/bundle/population.json").read_text())["members"]
    assert [r["context_id"] for r in rows[: 1 + len(members)]][1:] == members
    assert all(r["n"] == 3 and r["samples"] == 2 and r["low"] <= r["accuracy"] <= r["high"] for r in rows)
    assert main(["eval", str(tmp_path / "run"), "--contexts", "led"]) == 2
    assert "Did you mean 'lead'" in capsys.readouterr().err


def test_samples_files_of_two_evals_are_joined_question_by_question(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path, max_steps=1)]) == 0
    capsys.readouterr()
    rows, lines = [], []
    for name in ("a", "b"):
        file = tmp_path / f"{name}.jsonl"
        flags = ["--trust_task", "--samples", "2", "--temperature", "1", "--kl_examples", "0", "--json", "-"]
        assert main(["eval", str(tmp_path / "run"), *flags, "--samples_file", str(file)]) == 0
        rows.append({(r["weights"], r["context"]): r for r in json.loads(capsys.readouterr().out)})
        lines.append([json.loads(line) for line in file.read_text().splitlines()])
    assert not list(tmp_path.glob("*.tmp"))
    key = ("task", "split", "weights", "context", "context_id", "example_id", "sample")
    first, second = ({tuple(line[name] for name in key): line["reward"] for line in some} for some in lines)
    assert len(first) == len(lines[0]), "every answer has a key of its own"
    assert first == second, "one bundle answers alike twice"
    for (weights, context), row in rows[0].items():
        rewards = [line["reward"] for line in lines[0] if (line["weights"], line["context"]) == (weights, context)]
        scored = [reward for reward in rewards if reward is not None]
        assert row["accuracy"] == pytest.approx(sum(scored) / len(scored))
        assert len(rewards) - len(scored) == row["unscored"]
        assert len(rewards) == 6 * 2 * (2 if context == "mean" else 1)


def test_an_unscored_answer_is_null_in_the_samples_file(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path, max_steps=1)]) == 0
    bundle = tmp_path / "run" / "bundle" / "bundle.json"
    whole = json.loads(bundle.read_text())
    window = json.loads((tmp_path / "model" / "config.json").read_text())["max_position_embeddings"]
    whole["settings"]["max_completion_length"] = window  # nothing fits any more
    bundle.write_text(json.dumps(whole))
    file = tmp_path / "samples.jsonl"
    flags = ["--trust_task", "--kl_examples", "0", "--contexts", "seed", "--limit", "2", "--json", "-"]
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run"), *flags, "--samples_file", str(file)]) == 0
    assert {row["accuracy"] for row in json.loads(capsys.readouterr().out)} == {None}
    assert {json.loads(line)["reward"] for line in file.read_text().splitlines()} == {None}


@pytest.mark.parametrize("file", ["nowhere/s.jsonl", ".", "-", "", "rows.json"])
def test_a_samples_file_that_cannot_be_written_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys, monkeypatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "fastslow.evaluation.bundle", None)  # importing it would fail
    assert main(["eval", str(tmp_path), "--json", "rows.json", "--samples_file", file]) == 2
    assert "fastslow eval: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_eval_tells_the_gain_of_a_task_without_a_topic_and_no_share_of_it() -> None:
    choice = Choice({"c0ffee": 3}, right_topic=0.5, gain=0.1, gain_low=0.0, gain_high=0.2)
    chosen = [measurement(context="cluster", choice=one) for one in (choice, replace(choice, right_topic=None))]
    first, second = _choices([*chosen, measurement()])
    assert first.startswith("trained + cluster: 50.0% of the questions in the right topic, gain over lead +10.0 points")
    assert second == "trained + cluster: gain over lead +10.0 points (95% +0.0 to +20.0)"


BAD = {
    "no task": (["--task", ""], "no task given"),
    "unknown generator": (["--task", "reasoning_gym:product"], "Did you mean 'products'"),
    "unknown generator parameter": (["--task", "reasoning_gym:products?max_term=2"], "max_terms"),
    "unknown family": (["--task", "reasoning_gmy:products"], "reasoning_gym"),
    "task and tasks": (
        ["--task", "star_graph", "--tasks", "reasoning_gym:gcd", "star_graph", "--stage_steps", "2"], "not both",
    ),
    "stages without tasks": (["--stage_steps", "2"], "name them with --tasks"),
    "advantages of single rollouts": (["--advantage_group", "context", "--population_size", "4"], "at least twice"),
    "unknown advantage group": (["--advantage_group", "contxt"], "'problem' or 'context'"),
    "unknown mode": (["--mode", "ftsa"], "unknown mode"),
    "unknown loss": (["--loss_type", "cispoo"], "Did you mean 'cispo'"),
    "unknown proposer": (["--proposer", "demonstration"], "Did you mean 'demonstrations'"),
    "unknown router": (["--router", "boht"], "Did you mean 'both'"),
    "random router without probabilities": (["--router", "random:2,x"], "two probabilities"),
    "unknown flag": (["--learning_rte", "1"], "Did you mean '--learning_rate'"),
    "not a number": (["--max_steps", "many"], "max_steps"),
    "G no multiple of K": (["--population_size", "3"], "multiple of population_size"),
    "epsilon_high below one": (["--epsilon_high", "0.2"], "at least 1"),
    "budget too small": (["--fast_metric_calls", "5"], "fast_metric_calls"),
    "missing JSONL": (["--task", "jsonl:nowhere.jsonl"], "nowhere.jsonl"),
    "missing model folder": (["--model", "./nowhere"], "does not exist"),
    "no reflection LM": (["--proposer", "reflection"], "--reflection_base_url"),
    "no key": (
        ["--proposer", "reflection", "--reflection_base_url", "http://127.0.0.1:9/v1", "--reflection_model", "m",
         "--reflection_api_key_env", "FASTSLOW_TEST_NO_KEY"],
        "FASTSLOW_TEST_NO_KEY",
    ),
    "packing is no switch": (["--packing", "yes"], "packing is"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_2_and_writes_nothing(tmp_path: Path, capsys, name: str) -> None:
    flags, expected = BAD[name]
    assert main(["train", "--config", recipe(tmp_path), *flags]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fastslow train: ")]
    assert len(error) == 1, "one line says what is wrong"
    assert expected in error[0]
    assert not (tmp_path / "run").exists()


def test_a_broken_model_folder_is_named(tmp_path: Path, capsys) -> None:
    recipe_file = recipe(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    assert main(["train", "--config", recipe_file, "--model", str(broken)]) == 2
    assert "config.json" in capsys.readouterr().err
    for file in (tmp_path / "model").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert main(["train", "--config", recipe_file, "--model", str(broken)]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_malformed_jsonl_names_its_line(tmp_path: Path, capsys) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n{"question": \n')
    assert main(["train", "--config", recipe(tmp_path), "--task", f"jsonl:{file}"]) == 2
    assert "line 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "is not YAML"),
        ("max_steps: " + "9" * 5000, "max_steps must be a whole number"),
        ("- a\n", "setting: value"),
        ("populaton_size: 4\n", "Did you mean 'population_size'"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_recipe_is_explained(tmp_path: Path, capsys, text: str | None, expected: str) -> None:
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["train", "--config", str(path)]) == 2
    assert expected in capsys.readouterr().err


def test_a_directory_that_holds_a_run_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path)]) == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    assert main(["train", "--config", recipe(tmp_path)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}


def test_a_question_longer_than_the_window_is_skipped_and_counted_and_a_run_of_them_stops(
    tmp_path: Path, capsys
) -> None:
    settings = tiny_settings(tmp_path)
    window = json.loads((tmp_path / "model" / "config.json").read_text())["max_position_embeddings"]
    path = tmp_path / "long.jsonl"
    short = [json.dumps({"question": f"What is {i}?", "answer": "1"}) for i in range(20)]
    long = [json.dumps({"question": f"{i} " + "word " * window, "answer": "1"}) for i in range(20)]
    path.write_text("\n".join(short + long))
    task = f"jsonl:{path}?scorer=tests.support.runs:spread"
    assert main(["train", "--config", recipe(tmp_path), "--task", task, "--mode", "rl"]) == 0
    assert json.loads(Path(settings["output_dir"], "summary.json").read_text())["skipped_too_long"] > 0
    path.write_text("\n".join(long))
    assert main(["train", "--config", recipe(tmp_path), "--task", task, "--output_dir", str(tmp_path / "none")]) == 2
    assert "window" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.processes
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path: Path, number: int, code: int) -> None:
    point = ("update", 2, True)
    with Nursery(tmp_path) as nursery:
        argv = ["train", "--config", recipe(tmp_path, max_steps=5000)]
        assert nursery.run(argv, point, signals=[number]) == code, nursery.log()[-3000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert re.match("stopped by SIG", summary["status"])
    checkpoint = tmp_path / "run" / f"checkpoint-{summary['steps']}"
    assert (checkpoint / "model.safetensors").exists()
    assert "population" in json.loads((checkpoint / "state.json").read_text())["loop"]


def test_help_lists_every_command_without_loading_torch() -> None:
    code = "import sys; from fastslow.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, "torch was imported for a help text"
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_suggests_the_nearest(capsys) -> None:
    assert main(["trian"]) == 2
    assert "Did you mean 'train'" in capsys.readouterr().err


def test_tasks_and_doctor_answer(capsys) -> None:
    assert main(["tasks"]) == 0
    assert "reasoning_gym" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert EMBEDDED in capsys.readouterr().out
