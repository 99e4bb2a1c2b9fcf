"""A recipe's words are read by the setting they are given to; what has two readings, or none, is refused in a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.dump import dump_config
from fastslow.config.parsing import parse_config
from fastslow.config.reading import read_value
from fastslow.config.recipe import read_recipe
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.experiments.experiment import read_section
from fastslow.experiments.plan import checked_sweep

HINTS = get_type_hints(FastSlowConfig)


def parsed(folder: Path, text: str, *flags: str) -> FastSlowConfig:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return parse_config(["--config", str(path), "--bf16", "false", *flags])


TAKEN: list[tuple[str, Any]] = [
    ("packing: off", "off"),
    ("packing: on", "on"),
    ("eval_strategy: no", "no"),
    ("save_strategy: no", "no"),
    ("save_strategy: 'no'", "no"),
    ("output_dir: 2026-01-01", "2026-01-01"),
    ("output_dir: 2026-01-01 10:00:00", "2026-01-01 10:00:00"),
    ("output_dir: 010", "010"),
    ("run_name: 1.10", "1.10"),
    ("run_name: yes", "yes"),
    ("run_name: 'null'", "null"),
    ("run_name: null", None),
    ("run_name: 12:30:45", "12:30:45"),
    ("seed_instruction: 0x10", "0x10"),
    ("seed_instruction: =", "="),
    ("learning_rate: 1e-5", 1e-5),
    ("learning_rate: '1e-5'", 1e-5),
    ("learning_rate: 1E-5", 1e-5),
    ("learning_rate: .5", 0.5),
    ("beta: 1_000.5", 1000.5),
    ("learning_rate: none", None),
    ("beta: 0", 0.0),
    ("adam_beta1: 0", 0.0),
    ("max_steps: 1e3", 1000),
    ("max_steps: 20.0", 20),
    ("max_steps: '20'", 20),
    ("max_steps: 1_000", 1000),
    ("max_steps: 0x14", 20),
    ("train_size: ", None),
    ("train_size: ~", None),
    ("train_size: none", None),
    ("save_bundle: off", False),
    ("save_bundle: 'off'", False),
    ("save_bundle: n", False),
    ("save_bundle: 1", True),
    ("save_bundle: TRUE", True),
    ("report_to: none", []),
    ("report_to: null", []),
    ("report_to: tensorboard, trackio", ["tensorboard", "trackio"]),
    ("report_to: [tensorboard]", ["tensorboard"]),
    ("reward_weights: 1", [1.0]),
    ("reward_weights: [1, 2e-1]", [1.0, 0.2]),
    ("chat_template_kwargs: {a: 1e-1, b: off, c: 2026-01-01, d: 3}", {"a": 0.1, "b": False, "c": "2026-01-01", "d": 3}),
    ("chat_template_kwargs: '{\"a\": 1}'", {"a": 1}),
]


@pytest.mark.parametrize(("text", "value"), TAKEN)
def test_what_has_one_reading_is_taken(tmp_path: Path, text: str, value: Any) -> None:
    name = text.partition(":")[0]
    read = getattr(parsed(tmp_path, text), name)
    assert getattr(read, "value", read) == value
    assert type(getattr(read, "value", read)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", ["a"]), ("a, b?x=1,2", ["a", "b?x=1,2"]), ("[no, 2026-01-01]", ["no", "2026-01-01"]), ("[]", [])],
)
def test_one_word_or_a_text_with_commas_is_a_list_of_tasks(text: str, value: list[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"tasks: {text}")
    assert read_value(read_recipe(tmp_path / "recipe.yaml")["tasks"], HINTS["tasks"]) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_steps: 010", "max_steps must be a whole number, got '010'; a leading zero makes it eight-based"),
        ("learning_rate: 007", "learning_rate must be a number or none, got '007'; a leading zero"),
        ("max_steps: 1.5", "max_steps must be a whole number, got '1.5'"),
        ("max_steps: 1:30", "max_steps must be a whole number, got '1:30'"),
        ("max_steps: 1,000", "max_steps must be a whole number, got '1,000'"),
        ("max_steps: yes", "max_steps must be a whole number, got 'yes'"),
        ("max_steps: [1]", "max_steps must be a whole number, got a list"),
        ("max_steps: null", "max_steps must be a whole number, got none (leave the line out for the default)"),
        ("max_steps: " + "9" * 5000, "max_steps must be a whole number, got '999"),
        ("model: ~", "model must be text, got none"),
        ("model: {a: b}", "model must be text, got a mapping"),
        ("learning_rate: .inf", "learning_rate must be a finite number"),
        ("adam_epsilon: .nan", "adam_epsilon must be a finite number"),
        ("adam_beta1: fast", "adam_beta1 must be a number, got 'fast'"),
        ("save_bundle: maybe", "save_bundle must be true or false, got 'maybe'"),
        ("save_bundle: 2", "save_bundle must be true or false, got '2'"),
        ("tasks: [a, null]", "tasks must be text, got none"),
        ("reward_weights: [a]", "reward_weights must be a number, got 'a'"),
        ("chat_template_kwargs: '{'", "chat_template_kwargs must be a mapping, on the command line as JSON"),
        ("seed: 1\nmax_steps: 3\nseed: 2", "line 3 is not YAML: 'seed' stands there twice"),
        ("seed_instruction: \"a\\0b\"", "seed_instruction holds characters that are not text"),
        ("parallelism_config: {a: 1}", "parallelism_config"),
        ("env: [a]", "'env' must hold 'VARIABLE: value' lines"),
        ("env: {'A=B': c}", "'env' holds what no environment can"),
        ("tasks: &x [*x]", "tasks"),
    ],
)  # fmt: skip
def test_what_has_no_reading_or_two_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parsed(tmp_path, text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--save_bundle", "off"], "save_bundle", False),
        (["--save_bundle"], "save_bundle", True),
        (["--max_steps", "1e3"], "max_steps", 1000),
        (["--train_size", "none"], "train_size", None),
        (["--packing=off"], "packing", "off"),
        (["--learning-rate", "1e-5"], "learning_rate", 1e-5),
        (["--reward_weights", "1", "2"], "reward_weights", [1.0, 2.0]),
    ],
)
def test_flags_are_read_as_recipes_are(flags: list[str], name: str, value: Any) -> None:
    assert getattr(parse_config(["--bf16", "false", *flags]), name) == value


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--max_steps", "010"], "--max_steps.*must be a whole number, got '010'"),
        (["--max_steps"], "--max_steps.*expected one argument"),
        (["10"], "'10' belongs to no flag"),
        (["--config"], "--config needs a file"),
        (["--config", "--seed", "1"], "--config needs a file"),
        (["--config", "a", "--config=b"], "--config is given twice"),
        (["--save_bundle", "maybe"], "--save_bundle.*must be true or false, got 'maybe'"),
    ],
)
def test_flags_that_cannot_be_read_are_refused(argv: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_config(argv)


def test_no_flags_are_read_from_a_file_beside_the_command(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "fastslow.args").write_text("--seed 7")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "fastslow")])
    assert parse_config(["--bf16", "false"]).seed == 42


def test_variables_of_the_recipe_keep_their_spelling(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("FASTSLOW_TEST", raising=False)
    parsed(tmp_path, "env: {FASTSLOW_TEST: off}")
    assert os.environ.pop("FASTSLOW_TEST") == "off"


def test_a_recipe_is_read_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes("\ufeffseed_instruction: ä".encode())
    assert read_recipe(tmp_path / "recipe.yaml") == {"seed_instruction": "ä"}


def test_the_words_of_an_experiment_keep_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("compare:\n  sweep: {packing: [off, on], lr_scheduler_kwargs: [{num_cycles: 1}]}\n  seeds: [7]\n")
    section = read_section(str(path))
    assert section["seeds"] == ["7"]
    assert checked_sweep(section["sweep"]) == {"packing": ["off", "on"], "lr_scheduler_kwargs": ['{"num_cycles": 1}']}


def test_a_recipe_says_what_its_dump_says(tmp_path: Path) -> None:
    settings = {"beta": 0.5, "packing": "on", "save_bundle": False, "tasks": None, "seed_instruction": "off"}
    config = parsed(tmp_path, yaml.safe_dump(settings))
    assert {name: getattr(config, name) for name in settings} == settings


SEVERAL = "tasks: [star_graph, 'reasoning_gym:gcd']\nstage_steps: 2\nlabels: noisy:0.5\nstream: overlap:0.5\n"


@pytest.mark.parametrize("flag", [["--task", "star_graph"], ["--task=star_graph"]])
def test_a_task_as_flag_takes_the_place_of_a_recipes_tasks_and_of_what_is_theirs(
    tmp_path: Path, flag: list[str]
) -> None:
    assert len(parsed(tmp_path, SEVERAL).tasks or ()) == 2
    one = parsed(tmp_path, SEVERAL, *flag, "--max_steps", "7")
    assert (one.task, one.tasks, one.max_steps) == ("star_graph", None, 7)
    assert (one.stage_steps, one.stream, one.labels) == (0, "", "visible")


def test_tasks_as_flags_take_the_place_of_a_recipes_task(tmp_path: Path) -> None:
    several = parsed(tmp_path, "task: star_graph\nlabels: hidden", "--tasks", "a.b:c", "a.b:d", "--stage_steps", "2")
    assert (several.task, several.tasks, several.labels) == ("", ["a.b:c", "a.b:d"], "hidden")


def test_plasticity_takes_its_task_also_from_a_run_over_several(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/bundle").mkdir(parents=True)
    (tmp_path / "run/bundle/bundle.json").write_text('{"settings": {"model": "smollm2-135m"}}')
    (tmp_path / "run/config.yaml").write_text(dump_config(parsed(tmp_path, SEVERAL)))
    assert main(["plasticity", "--from", "run", "--task", "star_graph", "--seeds", "1", "--dry_run"]) == 0
    assert "2 of 2 cells to run" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["tensorboard", "wandb"], ["tensorboard,wandb"], ["tensorboard,", "wandb"]])
def test_trackers_are_named_as_lists_are(tmp_path: Path, words: list[str]) -> None:
    given = parsed(tmp_path, "task: star_graph", "--report_to", *words)
    assert given.report_to == ["tensorboard", "wandb"]


def test_a_setting_of_one_text_or_several_keeps_one_as_a_text(tmp_path: Path) -> None:
    for words, value in ((["all-linear"], "all-linear"), (["q_proj", "k_proj"], ["q_proj", "k_proj"])):
        assert parsed(tmp_path, "task: star_graph", "--optim_target_modules", *words).optim_target_modules == value
    assert parsed(tmp_path, "optim_target_modules: [q_proj]").optim_target_modules == ["q_proj"]
