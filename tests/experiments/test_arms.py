"""Ways to adapt a model by name: each is a set of settings that a run takes as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.experiments.arms import ARMS, parse_arms
from fastslow.experiments.plan import plan_arms
from tests.support.runs import stream_settings


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Three tasks one after another, whose answers their scorer accepts."""
    settings = stream_settings(tmp_path, eval_strategy="steps", eval_steps=2, save_strategy="no")
    settings["tasks"] = [name.replace("spread", "graded_by_answer") for name in settings["tasks"]]
    del settings["output_dir"]
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value not in (None, "")}))
    return str(path)


def test_every_arm_is_a_run_that_can_begin(tmp_path: Path, recipe: str) -> None:
    arms = parse_arms(list(ARMS), None, learning_rate=1e-3)
    experiment = plan_arms(
        tmp_path / "out", kind="continual", title="t", flags=["--config", recipe], arms=arms, seeds=[1, 2]
    )
    assert {(cell.arm, cell.seed) for cell in experiment.cells} == {(arm, seed) for arm in ARMS for seed in (1, 2)}
    assert experiment.reference == "rl"
    for cell in experiment.cells:
        for name, value in ARMS[cell.arm].settings.items():
            assert cell.settings[name] == value


def test_adapters_learn_at_a_higher_rate_unless_the_recipe_says_otherwise() -> None:
    rates = parse_arms(["rl", "rl_lora"], None, learning_rate=1e-5)
    assert "learning_rate" not in rates["rl"]
    assert rates["rl_lora"]["learning_rate"] == pytest.approx(1e-4)
    chosen = parse_arms(["rl_lora"], {"rl_lora": {"learning_rate": 3e-4, "lora_r": 4}}, learning_rate=None)
    assert chosen == {"rl_lora": {"mode": "rl", "lora_r": 4, "learning_rate": 3e-4}}


def test_a_recipes_own_arm_stands_beside_the_named_ones() -> None:
    arms = parse_arms([" fst ", "mine", "fst"], {"mine": {"mode": "rl", "beta": 0.2}, "other": {}}, learning_rate=None)
    assert arms == {"fst": {"mode": "fst"}, "mine": {"mode": "rl", "beta": 0.2}}


def test_a_recipes_arms_of_known_names_are_those_arms_without_being_asked_for(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"compare": {"arms": {"sft": {"learning_rate": 0.01}, "joint": {}, "fst": {}, "rl": {"beta": 0.1}}}}
    Path(recipe).write_text(Path(recipe).read_text() + yaml.safe_dump(own))
    assert main(["continual", recipe, "--seeds", "1", "--dry_run"]) == 0
    shown = capsys.readouterr().err
    assert "sft-s1 (mode supervised): missing" in shown
    assert "rl-s1: missing" in shown


def test_a_ceiling_is_not_what_the_others_are_held_against(tmp_path: Path, recipe: str) -> None:
    def reference(*arms: str) -> str:
        made = parse_arms(arms, None, learning_rate=1e-3)
        flags = ["--config", recipe]
        return plan_arms(tmp_path, kind="continual", title="t", flags=flags, arms=made, seeds=[1]).reference

    assert reference("fst", "joint", "rl_kl", "rl") == "rl"
    assert reference("joint", "rl_kl") == "rl_kl"
    assert reference("fst", "joint") == "fst"


@pytest.mark.parametrize(
    ("text", "own", "said"),
    [
        ("sfft", None, "unknown arm 'sfft'. Did you mean 'sft'"),
        (" , ", None, "name at least one arm of fst"),
        ("rl_lora", None, "give learning_rate in the recipe"),
        ("mine", {"mine": [1]}, "must hold 'setting: value' lines"),
    ],
)
def test_an_arm_that_is_none_is_refused(text: str, own: dict | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_arms(text.split(","), own, learning_rate=None)


def test_arms_and_modes_together_are_refused_before_anything_runs(
    tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["continual", recipe, "--arms", "fst,sft", "--modes", "rl", "--output_dir", str(tmp_path / "out")])
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert "arms are named one by one" in capsys.readouterr().err


def test_an_arm_that_the_recipe_cannot_have_is_named(tmp_path: Path, recipe: str) -> None:
    settings = yaml.safe_load(Path(recipe).read_text())
    alone = {name: value for name, value in settings.items() if name not in ("tasks", "stage_steps", "stream")}
    Path(recipe).write_text(yaml.safe_dump(alone | {"task": settings["tasks"][0]}))
    arms = parse_arms(["rl", "joint"], None, learning_rate=None)
    with pytest.raises(BadInput, match="arm 'joint': stream 'mixture' is for several tasks"):
        plan_arms(tmp_path, kind="compare", title="t", flags=["--config", recipe], arms=arms, seeds=[1])


def test_an_arm_with_all_tasks_at_once_stands_beside_those_with_stages(
    tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["continual", recipe, "--arms", "joint,sft", "--seeds", "1", "--output_dir", out, "--dry_run"]) == 0
    assert "2 of 2 cells to run" in " ".join(capsys.readouterr().err.split())
