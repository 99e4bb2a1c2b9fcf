"""What goes wrong around a run: damaged models, endings, numbers that are none, code that comes with a bundle."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import Trainer

from fastslow.bundles.bundle import open_task
from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import Route
from fastslow.files.run_directory import RunDirectory
from fastslow.policy.loading import load_model, resolve_model
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.cli.test_cli import recipe
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings
from tests.support.tiny import save_tiny


def run(folder: Path, **overrides: Any) -> dict[str, Any]:
    return train(FastSlowConfig(**tiny_settings(folder, **overrides)), display=SilentDisplay())


@pytest.mark.processes
def test_a_signal_during_the_last_measurements_loses_no_weights(tmp_path: Path) -> None:
    with Nursery(tmp_path) as nursery:
        argv = ["train", "--config", recipe(tmp_path, eval_samples=4)]
        assert nursery.run(argv, ("base", 1, False), signals=[signal.SIGTERM]) == 143, nursery.log()[-3000:]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "stopped by SIGTERM"
    assert (tmp_path / "run" / "bundle" / "model.safetensors").exists()
    assert main(["eval", str(tmp_path / "run"), "--trust_task", "--limit", "1"]) == 0


def test_a_model_without_some_of_its_weights_is_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "gate_proj" in name)
    save_file({n: w for n, w in weights.items() if n != gone}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=f"lacks 1 weights .*{gone}"):
        load_model(resolve_model(str(folder)))


def test_a_bundle_runs_no_code_of_its_maker_unless_trusted(tmp_path: Path, capsys) -> None:
    run(tmp_path)
    file = tmp_path / "run" / "bundle" / "bundle.json"
    data = json.loads(file.read_text())
    proof = tmp_path / "executed"
    for task in (f"os:system?command=touch {proof}", f"{data['settings']['task'].split('?')[0]}?scorer=os:remove"):
        data["settings"]["task"] = task
        file.write_text(json.dumps(data))
        assert main(["eval", str(tmp_path / "run")]) == 2
        assert "--trust_task" in capsys.readouterr().err
    assert not proof.exists()


@pytest.mark.parametrize(
    "overrides",
    [{"learning_rate": math.inf}, {"beta": math.nan}, {"epsilon_high": math.nan}, {"weight_decay": math.nan}],
    ids=str,
)
def test_settings_that_are_no_numbers_are_refused(tmp_path: Path, overrides: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="must be a finite number"):
        FastSlowConfig(**tiny_settings(tmp_path, **overrides))


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_weights_take_it(tmp_path: Path, monkeypatch) -> None:
    norms = iter([1.0, math.inf])
    monkeypatch.setattr(Trainer, "_get_grad_norm", lambda self, model, grad_norm=None: next(norms))
    with pytest.raises(FastSlowError, match=r"gradient of step [2-6] is not finite"):
        run(tmp_path, mode="rl", max_steps=6, max_grad_norm=1.0)


class Unsaveable:
    """A router whose state is no JSON."""

    name = "unsaveable"

    def __init__(self, arguments: str = "", *, seed: int = 0): ...

    def route(self, evidence: Any) -> Any: ...

    def state_dict(self) -> dict[str, Any]:
        return {"x": object()}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_router_whose_state_cannot_be_saved_is_refused_before_it_costs_a_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"state\['x'\] = <object .* does not come back from JSON"):
        run(tmp_path, router="tests.faults.test_mishaps.Unsaveable")
    assert not (tmp_path / "run").exists()


class Raising(Unsaveable):
    """A router that fails on the first group."""

    name = "raising"

    def route(self, evidence: Any) -> Any:
        raise ZeroDivisionError("oops")

    def state_dict(self) -> dict[str, Any]:
        return {}


def test_a_run_that_fails_before_its_first_step_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FastSlowError, match="router 'raising' raised ZeroDivisionError: oops"):
        run(tmp_path, router="tests.faults.test_mishaps.Raising")
    assert not (tmp_path / "run").exists()


class Late(Raising):
    """A router that fails in the second step."""

    def route(self, evidence: Any) -> Any:
        return Route.BOTH if evidence.step == 0 else super().route(evidence)


def test_a_run_that_fails_later_keeps_what_it_saved(tmp_path: Path) -> None:
    """However seldom it logs: what counts is the steps it took."""
    with pytest.raises(FastSlowError, match="ZeroDivisionError"):
        run(tmp_path, router="tests.faults.test_mishaps.Late", logging_steps=100, save_strategy="steps", save_steps=1)
    assert (tmp_path / "run" / "checkpoint-1" / "model.safetensors").exists()


def test_the_loser_of_a_race_for_a_directory_leaves_the_winners_run_alone(tmp_path: Path, monkeypatch) -> None:
    """Both found it empty; the other was first to write its config."""
    create = RunDirectory.create.__func__

    def too_late(cls: Any, path: Any, config: Any) -> Any:
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / "config.yaml").write_text("the winner's")
        return create(cls, path, config)

    monkeypatch.setattr(RunDirectory, "create", classmethod(too_late))
    with pytest.raises(BadInput, match="already holds a run"):
        run(tmp_path)
    assert (tmp_path / "run" / "config.yaml").read_text() == "the winner's"


def test_a_bundle_that_names_a_scorer_of_ours_needs_no_trust(tmp_path: Path) -> None:
    settings = {"train_size": None, "validation_size": 2, "test_size": 2, "data_seed": 0}
    task = tiny_settings(tmp_path)["task"].split("?")[0] + "?scorer=number"
    assert open_task(task, settings, trusted=False).split("validation")


@pytest.mark.parametrize("place", ["file", "file/below", "link", "x" * 300])
def test_a_place_that_cannot_hold_a_run_is_refused_in_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    os.symlink(tmp_path / "nowhere", tmp_path / "link")
    with pytest.raises(BadInput):
        run(tmp_path, output_dir=str(tmp_path / place))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "overrides",
    [
        {"reflection_base_url": "http://user:secret@127.0.0.1/v1"},
        {"reflection_base_url": "http://127.0.0.1/v1?api_key=secret"},
        {"reflection_api_key_env": "sk-secret"},
    ],
    ids=["user", "query", "key"],
)
def test_a_setting_that_may_hold_a_secret_is_refused_without_repeating_it(tmp_path: Path, overrides) -> None:
    with pytest.raises(BadInput) as caught:
        FastSlowConfig(**tiny_settings(tmp_path, **overrides))
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [{"num_iterations": 0}, {"resume_from_checkpoint": "x"}, {"generation_kwargs": {"top_k": 1}}, {"seed": -1}],
    ids=str,
)
def test_what_could_only_be_ignored_is_refused(tmp_path: Path, overrides: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        FastSlowConfig(**tiny_settings(tmp_path, **overrides))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("bundle.json", lambda d: d["settings"].pop("eval_temperature")),
        ("bundle.json", lambda d: d["settings"].update(seed="x")),
        ("bundle.json", lambda d: d["settings"].update(eval_samples=0)),
        ("bundle.json", lambda d: d.pop("settings")),
        ("population.json", lambda d: d.update(scores=[1])),
        ("population.json", lambda d: d.update(members=["nobody"])),
    ],
)
def test_a_bundle_edited_by_hand_is_named_as_damaged(tmp_path: Path, capsys, file: str, change: Any) -> None:
    """Also one without a manifest, as older versions wrote, in which no length or SHA-256 gives the change away."""
    run(tmp_path, mode="rl", max_steps=1)
    about = json.loads((tmp_path / "run/bundle/bundle.json").read_text())
    del about["files"], about["bytes"]
    (tmp_path / "run/bundle/bundle.json").write_text(json.dumps(about))
    path = tmp_path / "run" / "bundle" / file
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    assert main(["eval", str(tmp_path / "run"), "--trust_task"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert file in error
    assert "damaged" in error
