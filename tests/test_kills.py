"""Real processes, killed by SIGKILL at named points and at random moments, end where an unkilled one does."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.checkpoint import Checkpoints
from tests.support.nursery import Nursery
from tests.support.points import POINTS
from tests.support.runs import tiny_settings
from tests.test_resume import assert_same

pytestmark = pytest.mark.processes
OF_A_RESUME = ("rewind", "truncate", "restore", "counters")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory) -> Any:
    with Nursery(tmp_path_factory.mktemp("kills")) as ready:
        yield ready


@pytest.fixture(scope="module")
def whole(nursery: Nursery) -> Path:
    folder = nursery.folder
    settings = tiny_settings(
        folder, max_steps=3, eval_strategy="steps", eval_steps=2, save_time_share=1.0, keep_every=1
    )  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    assert nursery.run(train(folder / "whole")) == 0, (folder / "log.txt").read_text()
    return folder / "whole"


def train(run: Path) -> list[str]:
    return ["train", "--config", str(run.parent / "recipe.yaml"), "--output_dir", str(run)]


def steps_done(run: Path) -> int:
    return max(Checkpoints(run).steps(), default=0)


def check_same_end(nursery: Nursery, whole: Path, run: Path) -> None:
    code = nursery.run(["resume", str(run)])
    assert code == 0, (run.parent / "log.txt").read_text()[-3000:]
    assert_same(whole, run)


def kill_and_resume(nursery: Nursery, whole: Path, **how: Any) -> bool:
    """Returns whether the blow came before the run was over."""
    run = whole.parent / "killed"
    shutil.rmtree(run, ignore_errors=True)
    code = nursery.run(train(run), **how)
    assert code in (0, -9), (run.parent / "log.txt").read_text()[-3000:]
    if not (run / "config.yaml").exists():  # killed before the run began: the same command begins it
        assert nursery.run(train(run)) == 0, (run.parent / "log.txt").read_text()[-3000:]
    check_same_end(nursery, whole, run)
    return code == -9


# One blow at every point and a second one where it comes more often: with the two below, 24.
PLACES = [
    *((point, 1, True) for point in POINTS if point not in OF_A_RESUME and point != "discard"),
    *((point, 2, False) for point in ("fast", "update", "state", "seal", "commit", "eval")),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(nursery: Nursery, whole: Path, place) -> None:
    assert kill_and_resume(nursery, whole, point=place), "the blow never came"


@pytest.mark.faults
def test_kills_at_every_point_and_at_random_moments(nursery: Nursery, whole: Path) -> None:
    """At least 200 blows that hit."""
    places = [(point, count, after) for point in POINTS for count in (1, 2, 3, 5, 8) for after in (False, True)]
    hits = sum(kill_and_resume(nursery, whole, point=p) for p in places if p[0] not in OF_A_RESUME)
    rng = random.Random(0)
    for _ in range(400):
        if hits >= 200:
            break
        hits += kill_and_resume(nursery, whole, kill_after=rng.uniform(0.05, 1.5))
    assert hits >= 200


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [2, 3])
def test_a_kill_at_the_end_of_a_step_finds_the_checkpoint_before_it(nursery, whole, step: int, after: bool) -> None:
    """With a disk so slow that the next step would long be over: a kill loses one finished step at most."""
    run = whole.parent / "slow"
    shutil.rmtree(run, ignore_errors=True)
    assert nursery.run(train(run), point=("save", step, after), delay=["tensors", 0.5]) == -9
    assert steps_done(run) == step - 1
    check_same_end(nursery, whole, run)


def kill_twice(nursery: Nursery, whole: Path, second: tuple[str, int, bool]) -> bool:
    run = whole.parent / "twice"
    shutil.rmtree(run, ignore_errors=True)
    assert nursery.run(train(run), point=("update", 3, False)) == -9
    assert steps_done(run) >= 1, "at most one finished step is lost, and the one it was in"
    code = nursery.run(["resume", str(run)], point=second)
    check_same_end(nursery, whole, run)
    return code == -9


@pytest.mark.parametrize("second", [("truncate", 1, True), ("restore", 1, False)], ids=str)
def test_a_resume_that_is_killed_can_be_resumed(nursery: Nursery, whole: Path, second) -> None:
    assert kill_twice(nursery, whole, second), "the second blow never came"


@pytest.mark.faults
def test_forty_kills_during_recovery(nursery: Nursery, whole: Path) -> None:
    places = [(point, count, after) for point in POINTS for count in (1, 2) for after in (False, True)]
    assert sum(kill_twice(nursery, whole, place) for place in places) >= 40


def stop_and_resume(nursery: Nursery, whole: Path, point: tuple[str, int, bool], signals: list[int]) -> int:
    """Exit code of a run that was sent `signals` at `point`; it is then resumed to the end of the unbroken one."""
    run = whole.parent / "stopped"
    shutil.rmtree(run, ignore_errors=True)
    code = nursery.run(train(run), point=point, signals=signals)
    if code in (130, 143) and len(signals) == 1:
        summary = json.loads((run / "summary.json").read_text())
        assert summary["status"] == f"stopped by {signal.Signals(signals[0]).name}"
        assert Checkpoints(run).steps()[-1] == summary["steps"], "the step it was in is finished and saved"
    check_same_end(nursery, whole, run)
    return code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_step_it_came_in_and_the_run_goes_on_later(nursery, whole, number, code) -> None:
    assert stop_and_resume(nursery, whole, ("route", 2, False), [number]) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_a_second_signal_stops_at_once_and_the_run_goes_on_later(nursery, whole, number, code) -> None:
    assert stop_and_resume(nursery, whole, ("update", 2, False), [number, number]) == code
    assert "stopping after this step" in (whole.parent / "log.txt").read_text()


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_twenty_signals_in_every_phase(nursery, whole, number, code) -> None:
    inside = ("fast", "slow", "route", "update", "line", "eval", "state", "sync", "commit", "prune")
    places = [(point, count, after) for point in inside for count, after in ((1, True), (2, False))]
    assert [stop_and_resume(nursery, whole, place, [number]) for place in places] == [code] * 20
