"""A run and its bundle are used from any folder, and after a move together with what they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.dump import dump_config
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.paths import relocated
from fastslow.tasks.names import with_paths
from fastslow.tasks.task_set import spelled_once
from tests.support.runs import tiny_settings

EVAL = ["--kl_examples", "0", "--contexts", "lead", "--trust_task"]


def made(folder: Path, monkeypatch, **settings) -> Path:
    """Train in `folder`, with every path relative to it, then go elsewhere. Returns the run."""
    folder.mkdir(exist_ok=True)
    relative = tiny_settings(folder, model="model", output_dir="run", mode="rl", **settings)
    relative["task"] = "jsonl:./task.jsonl?scorer=tests.support.runs:spread"
    (folder / "recipe.yaml").write_text(yaml.safe_dump(relative))
    monkeypatch.chdir(folder)
    assert main(["train", "--config", "recipe.yaml"]) == 0
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    return folder / "run"


@pytest.mark.parametrize("settings", [{}, {"lora_r": 2}], ids=["whole", "adapters"])
def test_a_run_made_with_relative_paths_is_evaluated_from_anywhere_and_after_a_move(
    tmp_path: Path, monkeypatch, capsys, settings: dict
) -> None:
    run = made(tmp_path / "project", monkeypatch, **settings)
    assert main(["eval", str(run), *EVAL]) == 0
    assert main(["eval", str(run / "bundle"), *EVAL, "--json", "here.json"]) == 0
    assert main(["eval", "../project/run", *EVAL, "--json", "relative.json"]) == 0
    (tmp_path / "project").rename(tmp_path / "moved")
    assert main(["eval", str(tmp_path / "moved" / "run"), *EVAL, "--json", "moved.json"]) == 0
    monkeypatch.chdir(tmp_path / "moved" / "run" / "bundle")
    assert main(["eval", ".", *EVAL, "--json", str(tmp_path / "inside.json")]) == 0
    elsewhere = tmp_path / "elsewhere"
    results = [elsewhere / "here.json", elsewhere / "relative.json", elsewhere / "moved.json", tmp_path / "inside.json"]
    numbers = [[row["accuracy"] for row in json.loads(path.read_text())] for path in results]
    assert numbers == [numbers[0]] * len(numbers)
    (tmp_path / "moved" / "model").rename(tmp_path / "lost")
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "moved" / "run"), *EVAL]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "project" / "model") in said
    assert str(tmp_path / "moved" / "model") in said


@pytest.mark.parametrize("move", [False, True])
def test_a_run_made_with_relative_paths_is_resumed_from_anywhere_and_after_a_move(
    tmp_path: Path, monkeypatch, move: bool
) -> None:
    run = made(tmp_path / "project", monkeypatch, max_minutes=1e-9)
    if move:
        (tmp_path / "project").rename(tmp_path / "moved")
        run = tmp_path / "moved" / "run"
    assert main(["resume", str(run), "--max_minutes", "100"]) == 0
    assert json.loads((run / "summary.json").read_text())["status"] == "done"


def test_what_a_run_writes_names_files_by_their_absolute_paths(tmp_path: Path, monkeypatch) -> None:
    for name in ("model", "a.jsonl", "claims.json", "corpus.jsonl", "rows"):
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    config = FastSlowConfig(
        bf16=False, model="model", reflection_model="./model", stage_steps=2, max_steps=8,
        tasks=["jsonl:a.jsonl?scorer=exact", "hf:rows", "hover?path=claims.json&corpus=corpus.jsonl",
               "hover?path=sample"],
    )  # fmt: skip
    said = yaml.safe_load(dump_config(config))
    assert (said["model"], said["reflection_model"]) == (f"{tmp_path}/model", f"{tmp_path}/model")
    assert said["tasks"] == [
        f"jsonl:{tmp_path}/a.jsonl?scorer=exact",
        f"hf:{tmp_path}/rows",
        f"hover?corpus={tmp_path}/corpus.jsonl&path={tmp_path}/claims.json",
        "hover?path=sample",
    ]
    assert said["output_dir"] == f"{tmp_path}/runs/fst-s42"


@pytest.mark.parametrize("name", ["owner/model", "jsonl:nowhere.jsonl", "star_graph?path=3", "products"])
def test_what_is_no_file_here_stays_as_it_is_spelled(tmp_path: Path, monkeypatch, name: str) -> None:
    (tmp_path / "3").touch()
    monkeypatch.chdir(tmp_path)
    config = FastSlowConfig(bf16=False, model=name, task=name)
    assert (config.model, config.task) == (name, name)


def test_the_home_of_nobody_is_refused() -> None:
    cases: list[dict[str, Any]] = [
        {"model": "~nobody_of_this_name/model"},
        {"task": "jsonl:~nobody_of_this_name/a.jsonl"},
    ]
    for settings in cases:
        with pytest.raises(BadInput, match="has none here"):
            FastSlowConfig(bf16=False, **settings)


def test_a_file_that_stayed_where_it_was_wins_over_one_that_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "data").touch()
    find = {"was": str(old / "run"), "now": str(new / "run")}
    assert relocated(str(old / "data"), **find) == str(old / "data")
    (old / "data").unlink()
    assert relocated(str(old / "data"), **find) == str(new / "data")
    assert relocated(str(old / "other"), **find) == str(old / "other")
    assert relocated("owner/model", **find) == "owner/model"


def test_two_spellings_of_the_files_of_a_task_are_one_task(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "claims.json").touch()
    monkeypatch.chdir(tmp_path)
    assert spelled_once("hover?path=claims.json") == spelled_once(f"hover?path={tmp_path}/claims.json")
    assert with_paths("a?b=1&a=2", str.upper) == "a?b=1&a=2"
