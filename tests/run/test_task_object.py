"""A run whose task was an object of Python says so wherever a name for it would be needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.bundles import TASK, coins
from tests.support.runs import tiny_settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose settings name another task than the one it was given."""
    settings = tiny_settings(tmp_path_factory.mktemp("object"), mode="rl", max_steps=1, problems_per_step=1)
    train(FastSlowConfig(**settings), task=coins(), display=SilentDisplay())
    return Path(settings["output_dir"])


def test_its_files_name_the_task_that_it_had(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    settings = json.loads((run / "bundle/bundle.json").read_text())["settings"]
    assert (config["task"], config["tasks"]) == ("", None), "the settings named a task that the run never saw"
    assert (settings["task"], settings["task_object"]) == ("coins", True)


def test_an_evaluation_asks_for_a_name_that_leads_to_it_and_takes_it(run: Path, capsys: pytest.CaptureFixture) -> None:
    short = ["--contexts", "seed", "--limit", "1", "--kl_examples", "0", "--json", "-"]
    for flags in ([], ["--trust_task"]):
        assert main(["eval", str(run), *flags, *short]) == 2
        assert "as an object given in Python, which no name leads to" in capsys.readouterr().err
    assert main(["eval", str(run), "--tasks", TASK, *short]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] == 1


def test_a_resume_and_a_probe_say_that_only_python_has_it(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["probe-routes", str(run), "--trust_task"]) == 2
    assert "was an object given in Python" in capsys.readouterr().err
    summary = (run / "summary.json").read_bytes()
    (run / "summary.json").unlink()
    try:
        assert main(["resume", str(run)]) == 2
        assert "train.resume(" in capsys.readouterr().err
        with pytest.raises(BadInput, match="no checkpoint 'x'"):
            resume(run, checkpoint="x", task=coins())
    finally:
        (run / "summary.json").write_bytes(summary)
