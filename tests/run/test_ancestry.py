"""Weights that were trained three times have met the questions of three runs, and a gate asks none of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastslow.bundles.ancestry import ancestors_from
from fastslow.bundles.bundle import settings_of
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.gate.met import Met, lineage
from fastslow.gate.questions import choose_questions
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.tasks.resolve import resolve_task
from tests.support.runs import tiny_settings, write_tasks

NAMES = ("one", "two", "three", "four")


def run(folder: Path, name: str, task: str, **settings: Any) -> Path:
    place = folder / name
    made = tiny_settings(folder, mode="rl", max_steps=1, task=task, output_dir=str(place), **settings)
    train(FastSlowConfig(**made), display=SilentDisplay())
    return place


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on three files, each from the one before, and one that takes the last as its base."""
    folder = tmp_path_factory.mktemp("runs")
    first, second, third = write_tasks(folder)
    run(folder, "one", first)
    run(folder, "two", second, from_bundle=str(folder / "one"))
    run(folder, "three", third, from_bundle=str(folder / "two"))
    run(folder, "four", third, model=str(folder / "three/bundle"))
    return folder


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """A copy of the runs that a test may damage; what they name is still there."""
    for name in NAMES:
        shutil.copytree(runs / name, tmp_path / name)
    return tmp_path


def files(place: Path) -> list[str]:
    """The names of the files of the runs behind a bundle, the own one first; '?' for a run that is not known."""
    return [Path(one["task"].partition("?")[0]).stem if "task" in one else "?" for one in lineage(*settings_of(place))]


def edit(place: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = place / "bundle/bundle.json"
    about = json.loads(file.read_text())
    change(about["settings"])
    file.write_text(json.dumps(about))


def test_a_bundle_lists_the_runs_behind_its_weights_wherever_they_are_now(runs: Path, tmp_path: Path) -> None:
    """Runs from bundles, and one whose base is a bundle; each bundle is alone, as in a registry."""
    found = {name: files(shutil.copytree(runs / name / "bundle", tmp_path / name)) for name in NAMES}
    assert found == {
        "one": ["sums"],
        "two": ["words", "sums"],
        "three": ["dates", "words", "sums"],
        "four": ["dates", "dates", "words", "sums"],
    }


def test_a_gate_asks_no_question_of_an_ancestor(runs: Path) -> None:
    first = settings_of(runs / "one")[1]["task"]
    had = resolve_task(first, validation_size=6, test_size=4)
    chosen = choose_questions(first, 400, 0, met(runs / "three"))
    assert {e.question for e in chosen.examples} == {e.question for e in had.split("test")}
    with pytest.raises(BadInput, match="trust_task"):  # the scorer that an ancestor names is code as well
        choose_questions(first, 400, 0, Met(lineage(*settings_of(runs / "three")), trusted=lambda task: task == first))


def met(place: Path) -> Met:
    return Met(lineage(*settings_of(place)), trusted=lambda task: True)


def test_of_a_bundle_without_the_list_the_settings_of_its_run_are_followed(runs: Path, copy: Path) -> None:
    """As older versions wrote it. The copy names the runs that were copied."""
    edit(copy / "three", lambda settings: settings.pop("ancestors"))
    assert files(copy / "three") == ["dates", "words", "sums"]
    assert met(copy / "three").notes == []
    shutil.copytree(copy / "three/bundle", copy / "alone")
    assert files(copy / "alone") == ["dates"]


def test_a_run_that_cannot_be_read_any_more_is_noted(copy: Path) -> None:
    edit(copy / "three", lambda settings: settings.pop("ancestors"))
    gone = copy / "nowhere"
    (copy / "three/config.yaml").write_text(f"from_bundle: {gone}\n")
    assert files(copy / "three") == ["dates", "?"]
    (note,) = met(copy / "three").notes
    assert f"'{gone}', from which a run began" in note
    assert "holds no bundle" in note


def test_runs_that_name_each_other_have_an_end(copy: Path) -> None:
    for name, other in (("two", "three"), ("three", "two")):
        edit(copy / name, lambda settings: settings.pop("ancestors"))
        (copy / name / "config.yaml").write_text(f"output_dir: {copy / name}\nfrom_bundle: {copy / other}\n")
    assert files(copy / "two") == ["words", "dates"]


@pytest.mark.parametrize("damage", ["text", [1], [{"unknown": 1}], [{"task": "t"}], [{"questions_taken": -1}]])
def test_a_damaged_list_is_refused_in_one_line(copy: Path, damage: Any) -> None:
    edit(copy / "three", lambda settings: settings.update(ancestors=damage))
    with pytest.raises(BadInput, match="is damaged"):
        settings_of(copy / "three")


def test_a_run_from_a_bundle_that_is_gone_when_it_is_resumed_says_so(runs: Path) -> None:
    (one,) = ancestors_from(str(runs / "nowhere"))
    assert "holds no bundle" in one["unknown"]
