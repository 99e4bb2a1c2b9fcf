"""What a run says it ships is believed; of an older run it follows from mode and clusters."""

from __future__ import annotations

import json

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.modes import MODES
from fastslow.record.display import SilentDisplay
from fastslow.report.questions.compare import compare
from fastslow.report.questions.verdict import candidate
from fastslow.report.reading.data import load_run
from fastslow.report.reading.sources import load_sources
from fastslow.run.train import train
from tests.report.runs import FST, RL, make_run
from tests.support.runs import tiny_settings


def say(folder, **said):
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, **said}))
    return load_run(folder)


def test_a_run_is_believed_what_it_ships_and_which_channels_learned(tmp_path) -> None:
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    run = say(folder, ships="seed", channels={"fast": False, "slow": True})
    assert (run.shipped_context, run.channels.fast, run.channels.slow) == ("seed", False, True)
    damaged = say(folder, ships=["lead"], channels={"fast": "no"})
    assert (damaged.shipped_context, damaged.channels) == ("lead", MODES["fst"])


@pytest.mark.parametrize(
    ("mode", "clusters", "ships"),
    [
        ("fst", "none", "lead"), ("fst", "labels", "cluster"), ("prompt", "inferred", "cluster"),
        ("rl", "none", "seed"), ("rl", "labels", "seed"), ("unknown", "none", "lead"),
    ],
)  # fmt: skip
def test_an_older_run_ships_what_its_mode_and_clusters_say(tmp_path, mode, clusters, ships) -> None:
    run = load_run(make_run(tmp_path / "run", mode, 1, FST, clusters=clusters))
    assert run.shipped_context == ships


@pytest.mark.parametrize("mode", ["rl", "prompt"])
def test_a_real_run_says_what_it_ships(tmp_path, mode) -> None:
    settings = tiny_settings(tmp_path, mode=mode, max_steps=1, save_bundle=False, kl_examples=0)
    summary = train(FastSlowConfig(**settings), display=SilentDisplay())
    assert summary["ships"] == {"rl": "seed", "prompt": "lead"}[mode]
    assert summary["channels"] == {"fast": mode == "prompt", "slow": mode == "rl"}


def test_the_reference_and_the_candidate_of_runs_given_one_by_one_follow_from_their_modes(tmp_path) -> None:
    slow = make_run(tmp_path / "a", "rl", 1, RL)
    others = [make_run(tmp_path / "b", "fst", 1, FST), make_run(tmp_path / "c", "prompt_rl", 1, FST)]
    (comparison,) = compare(*load_sources([slow, *others]))
    assert comparison.reference is not None
    assert (comparison.reference.label, comparison.reference_name) == ("rl", "plain RL")
    found = candidate(comparison)
    assert found is not None
    assert found.label == "fst"


def test_runs_of_one_mode_whose_settings_differ_are_no_seeds_of_one_arm(tmp_path) -> None:
    paths = [
        make_run(tmp_path / "a", "rl", 1, RL, loss_type="grpo", learning_rate=1e-5, output_dir="a"),
        make_run(tmp_path / "b", "rl", 2, RL, loss_type="dapo", learning_rate=1e-5, output_dir="b"),
        make_run(tmp_path / "c", "rl", 3, RL, loss_type="dapo", learning_rate=1e-5, output_dir="c", save_steps=7),
    ]
    (source,) = load_sources(paths)
    assert [run.label for run in source.runs] == ["rl loss_type=grpo", "rl loss_type=dapo", "rl loss_type=dapo"]
    assert any("differ in more than the seed (loss_type)" in notice for notice in source.notices)
    (comparison,) = compare(source)
    assert [(arm.label, len(arm.runs)) for arm in comparison.arms] == [
        ("rl loss_type=dapo", 2),
        ("rl loss_type=grpo", 1),
    ]
    seeds = load_sources(paths[1:])[0]
    assert ({run.label for run in seeds.runs}, seeds.notices) == ({"rl"}, [])


def test_more_settings_than_a_name_holds_still_tell_arms_apart(tmp_path) -> None:
    ways = ((1, 1), (1, 2), (2, 2))
    paths = [make_run(tmp_path / str(n), "rl", n, RL, a=x, b=x, c=x, d=y) for n, (x, y) in enumerate(ways)]
    labels = [run.label for run in load_sources(paths)[0].runs]
    assert labels[:2] == ["rl a=1 b=1 c=1 (setting 1)", "rl a=1 b=1 c=1 (setting 2)"]
    assert len(set(labels)) == 3
