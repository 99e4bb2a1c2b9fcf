"""The examples with data: their scorers are those that `fastslow tasks new` writes, and their recipes train."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.tasks.check import check_task
from fastslow.tasks.draft import draft_task
from fastslow.tasks.resolve import resolve_task
from tests.support.tiny import save_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
DRAFTED = {
    "tickets": ("tickets.csv?question=ticket&answer=team", "labels"),
    "orders": ("orders.jsonl?question=message&answer=order", "json"),
}


@pytest.fixture(params=DRAFTED)
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = EXAMPLES / request.param
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    return folder


def test_the_scorer_is_the_one_that_is_drafted_from_the_data(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, kind = DRAFTED[example.name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(example)])
    name, _, columns = source.partition("?")
    (tmp_path / name).write_bytes((example / name).read_bytes())
    draft = draft_task(example.name, f"{name}?{columns}")
    assert draft.kind == kind
    assert draft.text == (example / f"{example.name}.py").read_text()
    assert draft.spec == yaml.safe_load((example / "recipe.yaml").read_text())["task"]
    assert f"fastslow tasks new {example.name} --from '{source}'" in (example / "README.md").read_text()


def test_the_data_are_fit_to_train_on(example: Path) -> None:
    report = check_task(resolve_task(yaml.safe_load((example / "recipe.yaml").read_text())["task"]))
    assert not report.problems, report.lines()
    assert not [remark for remark in report.remarks if "cannot be shown" in remark]


def test_the_recipe_takes_a_step(example: Path, tmp_path: Path) -> None:
    small = {"max_steps": 1, "problems_per_step": 1, "num_generations": 4, "validation_size": 2, "anchor_size": 2}
    small |= {"fast_metric_calls": 20, "eval_samples": 1, "max_completion_length": 4, "save_bundle": False}
    flags = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    run, model = tmp_path / "run", save_tiny(tmp_path / "model")
    assert main(["train", "--config", "recipe.yaml", "--model", str(model), "--output_dir", str(run), *flags]) == 0
    assert json.loads((run / "summary.json").read_text())["status"] == "done"
