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

from fastslow.files.sealed import Checkpoints
from tests.run.test_resume import assert_same
from tests.support.nursery import Nursery
from tests.support.points import POINTS
from tests.support.runs import tiny_settings

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


# One blow at every point and a second one where it comes more often: with the two below, 24. The suite strikes at every
# second place, the proof at all of them.
FIRST = [(point, 1, True) for point in POINTS if point not in OF_A_RESUME and point != "discard"]
SECOND = [(point, 2, False) for point in ("fast", "update", "state", "seal", "commit", "eval")]
PLACES = [
    pytest.param(
        place, marks=() if number % 2 == 0 or place == ("update", 2, False) else pytest.mark.faults, id=str(place)
    )
    for number, place in enumerate([*FIRST, *SECOND])
]


@pytest.mark.row(name="kills")
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(nursery: Nursery, whole: Path, place) -> None:
    assert kill_and_resume(nursery, whole, point=place), "the blow never came"


@pytest.mark.faults
@pytest.mark.row(name="kills")
def test_kills_at_every_point_and_at_random_moments(nursery: Nursery, whole: Path, record_property) -> None:
    """At least 200 blows that hit."""
    places = [(point, count, after) for point in POINTS for count in (1, 2, 3, 5, 8) for after in (False, True)]
    hits = sum(kill_and_resume(nursery, whole, point=p) for p in places if p[0] not in OF_A_RESUME)
    rng = random.Random(0)
    for _ in range(400):
        if hits >= 200:
            break
        hits += kill_and_resume(nursery, whole, kill_after=rng.uniform(0.05, 1.5))
    assert hits >= 200
    record_property("cases", hits)


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


@pytest.mark.row(name="recovery")
@pytest.mark.parametrize("second", [("truncate", 1, True), ("restore", 1, False)], ids=str)
def test_a_resume_that_is_killed_can_be_resumed(nursery: Nursery, whole: Path, second) -> None:
    assert kill_twice(nursery, whole, second), "the second blow never came"


@pytest.mark.faults
@pytest.mark.row(name="recovery")
def test_forty_kills_during_recovery(nursery: Nursery, whole: Path, record_property) -> None:
    """At every point of a resume and of what it goes on with, before and after; then where it comes a second time."""
    hits = 0
    for count in (1, 2):
        places = [(point, count, after) for point in POINTS for after in (False, True)]
        for place in places:
            if count == 1 or hits < 40:
                hits += kill_twice(nursery, whole, place)
    assert hits >= 40
    record_property("cases", hits)


def stop_and_resume(
    nursery: Nursery, whole: Path, point: tuple[str, int, bool], signals: list[int], after: int | None = None
) -> int:
    """Exit code of a run that was sent `signals` at `point` and stopped `after` so many steps; then it is resumed to
    the end of the unbroken one."""
    run = whole.parent / "stopped"
    shutil.rmtree(run, ignore_errors=True)
    code = nursery.run(train(run), point=point, signals=signals)
    if code in (130, 143) and len(signals) == 1:
        summary = json.loads((run / "summary.json").read_text())
        assert summary["status"] == f"stopped by {signal.Signals(signals[0]).name}"
        assert steps_done(run) == summary["steps"], "the step it was in is finished and saved, or the one before"
        assert after in (None, summary["steps"])
    check_same_end(nursery, whole, run)
    return code


SIGNALS = [
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.row(name="sigterm")),
    pytest.param(signal.SIGINT, 130, marks=pytest.mark.row(name="sigint")),
]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_saves_the_step_it_came_in_and_the_run_goes_on_later(nursery, whole, number, code) -> None:
    assert stop_and_resume(nursery, whole, ("route", 2, False), [number], after=2) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_a_second_signal_stops_at_once_and_the_run_goes_on_later(nursery, whole, number, code) -> None:
    assert stop_and_resume(nursery, whole, ("update", 2, False), [number, number]) == code
    assert "stopping after this step" in (whole.parent / "log.txt").read_text()


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_twenty_signals_in_every_phase(nursery, whole, number, code, record_property) -> None:
    inside = ("fast", "slow", "route", "update", "line", "eval", "state", "sync", "commit", "prune")
    places = [(point, count, after) for point in inside for count, after in ((1, True), (2, False))]
    # The first file that is synced is config.yaml: no signal is waited for before there is a run.
    places = [(point, count + 5 * (point == "sync"), after) for point, count, after in places]
    assert [stop_and_resume(nursery, whole, place, [number]) for place in places] == [code] * 20
    record_property("cases", len(places))


@pytest.mark.faults
@pytest.mark.real_model
@pytest.mark.row(name="smollm2")
def test_smollm2_killed_six_times_in_one_run_ends_as_if_it_had_not_been(
    nursery: Nursery, tmp_path: Path, record_property
) -> None:
    """All its weights are trained: a checkpoint is 1.6 GB."""
    settings = tiny_settings(
        tmp_path, model="smollm2-135m", max_steps=3, learning_rate=1e-5, problems_per_step=2, num_generations=2,
        fast_metric_calls=16, anchor_size=2, validation_size=2, kl_examples=1, save_time_share=1.0, keep_every=3,
    )  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    log = nursery.folder / "log.txt"
    assert nursery.run(train(tmp_path / "whole")) == 0, log.read_text()[-3000:]
    run = tmp_path / "killed"
    blows: list[dict[str, Any]] = [
        {"point": ("fast", 2, False)}, {"point": ("update", 1, True)}, {"point": ("state", 1, True)},
        {"point": ("commit", 1, True)}, {"kill_after": 4.0}, {"point": ("bundle", 1, True)},
    ]  # fmt: skip
    begun = False
    for blow in blows:
        assert nursery.run(["resume", str(run)] if begun else train(run), **blow) == -9, log.read_text()[-3000:]
        begun = (run / "config.yaml").exists()
    assert nursery.run(["resume", str(run)]) == 0, log.read_text()[-3000:]
    assert_same(tmp_path / "whole", run)
    record_property("cases", len(blows))
