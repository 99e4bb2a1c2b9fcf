"""The recipes after the paper: what it states is in them, what it does not is called ours, and they fit their GPUs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from fastslow.config.parsing import parse_config
from fastslow.run.costing import Inputs, estimate
from tests.support.recipes import readable

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("qwen3-*.yaml"))
SETTING = re.compile(r"(\w+):.*?(?:  # (.*))?")

PAPER = {
    "slow_steps_per_cycle": 6, "problems_per_step": 32, "num_generations": 8, "loss_type": "cispo",
    "loss_aggregation": "problem", "advantage_group": "problem", "epsilon_high": 4, "beta": 1e-3, "learning_rate": 1e-6,
    "warmup_steps": 10, "weight_decay": 0, "adam_beta1": 0.9, "adam_beta2": 0.999, "fast_metric_calls": 960,
    "anchor_size": 192, "proposer": "reflection", "edits": "small", "reflection_budget_usd": 10, "eval_samples": 4,
    "eval_temperature": 0.6, "eval_top_p": 0.95, "save_steps": 50, "keep_every": 50, "population_size": 8,
}  # fmt: skip
"""The paper's table of settings."""
OF_TASK = {
    "polaris": {"problems_per_step": 64, "population_size": 4, "fast_metric_calls": 1500, "anchor_size": 96},
    "physics": {"population_size": 4},
    "plasticity": {"max_steps": 400},
    "continual": {"stage_steps": 200},
}
"""What it says of single tasks."""
FAST_ALONE = {"slow_steps_per_cycle", "fast_metric_calls", "anchor_size", "proposer", "edits", "reflection_budget_usd",
              "population_size"}  # fmt: skip


def tags(recipe: Path) -> dict[str, str]:
    """Setting -> its comment."""
    lines = (SETTING.fullmatch(line) for line in recipe.read_text().splitlines())
    return {match[1]: match[2] or "" for match in lines if match}


def stated(recipe: Path) -> dict[str, object]:
    """What the paper says of this recipe's settings."""
    values: dict[str, object] = dict(PAPER)
    for task, own in OF_TASK.items():
        values |= own if f"-{task}-" in recipe.name else {}
    return values


def gpus(recipe: Path) -> str:
    found = re.search(r"((?:\d+x)+)h100", recipe.name)
    assert found is not None, recipe.name
    return f"{found[1]}H100"


def read(recipe: Path) -> dict[str, object]:
    return yaml.safe_load(re.sub(r"\b(\d)e-(\d)\b", r"\1.0e-\2", recipe.read_text()))


def test_there_is_a_recipe_for_every_experiment_and_size() -> None:
    names = " ".join(recipe.name for recipe in RECIPES)
    for part in ("hover", "polaris", "physics", "continual", "plasticity", "8b-8xh100", "8b-2x8xh100", "1.7b-1xh100"):
        assert part in names


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_setting_says_whether_it_is_the_papers_or_ours(recipe: Path) -> None:
    wrong = {name: tag for name, tag in tags(recipe).items() if not re.match(r"\[(paper|ours)\]", tag)}
    assert not wrong
    assert set(tags(recipe)) == set(read(recipe))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_what_the_paper_states_is_the_papers_or_the_line_says_what_the_paper_has(recipe: Path) -> None:
    values, comments, wrong = read(recipe), tags(recipe), []
    for name, value in stated(recipe).items():
        if name not in values:
            needless = (values["mode"] == "rl" and name in FAST_ALONE) or (
                name == "reflection_budget_usd" and values["proposer"] != "reflection"
            )
            wrong += [] if needless else [f"{name} is missing"]
        elif values[name] == value:
            wrong += [f"{name} is the paper's and called ours"] * (
                comments[name].startswith("[ours]") and "not stated" not in comments[name]
            )
        elif not comments[name].startswith("[ours] paper: "):
            wrong.append(f"{name}: {values[name]}, the paper has {value}")
    assert not wrong


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_what_is_called_the_papers_is_in_the_papers_table(recipe: Path) -> None:
    known = {**stated(recipe), **read_only_in_prose(recipe)}
    values = read(recipe)
    wrong = {name: values[name] for name, tag in tags(recipe).items() if tag.startswith("[paper]")
             and (name not in known or (known[name] is not None and known[name] != values[name]))}  # fmt: skip
    assert not wrong


def read_only_in_prose(recipe: Path) -> dict[str, object]:
    """What the paper says in words: model, tasks, modes, lengths of runs."""
    steps = {"hover": 400, "plasticity": 400, "8b-8xh100": 500, "8b-2x8xh100": 500}
    length = next((number for part, number in steps.items() if part in recipe.stem), None)
    return {"model": "Qwen/Qwen3-8B", "task": None, "tasks": None, "mode": None, "max_steps": length}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_the_gpus_that_it_is_named_after(recipe: Path, tmp_path: Path) -> None:
    """By the model's real shape, on the meta device: no weights, no network."""
    made = estimate(parse_config(["--config", str(readable(recipe, tmp_path))]), Inputs(gpus=gpus(recipe)))
    assert made.fits
    assert made.shape.every in (8_190_735_360, 1_720_574_976)
    assert f"--config {recipe.relative_to(ROOT)} --gpus {gpus(recipe)}" in recipe.read_text()


def test_without_its_gpus_a_recipe_does_not_fit(tmp_path: Path) -> None:
    config = parse_config(["--config", str(readable(ROOT / "recipes/qwen3-8b-8xh100.yaml", tmp_path))])
    assert not estimate(config, Inputs(gpus="1xH100")).fits
    assert not estimate(config, Inputs(gpus="8xL40S")).fits
