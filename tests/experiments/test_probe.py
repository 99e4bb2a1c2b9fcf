"""Counterfactual probes of routes, and the verdicts drawn from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.types import Route
from fastslow.experiments.probe.prober import Prober, _foreign, every_rule, probe_config, probe_routes
from fastslow.experiments.probe.results import ProbePlan, ProbesFile
from fastslow.files.run_directory import RunDirectory
from fastslow.metrics.routing import calibration, judge_rule
from fastslow.record.display import SilentDisplay
from fastslow.routers import ROUTERS
from fastslow.run.assemble import task_from
from fastslow.run.resume import read_config
from fastslow.run.train import train
from tests.support.runs import spread, stream_settings, tiny_settings

PLAN = ProbePlan(examples=2, steps=2, held_out=3, samples=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("probe")
    train(FastSlowConfig(**tiny_settings(folder, router="variance", max_steps=3)), display=SilentDisplay())
    return RunDirectory(folder / "run")


def prober(run: RunDirectory) -> Prober:
    config = read_config(run)
    return Prober(run, PLAN, config, task_from(config))


def probe(run: RunDirectory, output: Path, plan: ProbePlan = PLAN, **options):
    return probe_routes(run, plan, output=output, trusted=True, **options)


@pytest.fixture(scope="module")
def whole(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The file of one probe, and what it found."""
    file = tmp_path_factory.mktemp("whole") / "probes.jsonl"
    return file, probe(run, file)


@pytest.fixture
def output(whole: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of that file, to do with as one likes."""
    return Path(shutil.copy(whole[0], tmp_path))


def test_a_probe_holds_what_every_rule_said_and_every_arm_gained_at_like_cost(whole: tuple[Path, Any]) -> None:
    (found, _) = whole[1]
    assert set(found.routes) == set(ROUTERS.names())
    assert set(found.gains) == {"fast", "slow", "both"}
    assert all(-1.0 <= gain <= 1.0 for pair in found.gains.values() for gain in pair)
    assert found.rollouts["slow"] > 0
    # A proposer with nothing more to propose ends its phase early; nobody may spend much more than the others.
    assert max(found.rollouts.values()) <= 1.25 * found.rollouts["slow"]
    assert found.routes["both"] == "both"


def test_probing_leaves_the_trainer_as_it_was_and_repeats_itself(run: RunDirectory) -> None:
    one = prober(run)
    start = {name: weight.clone() for name, weight in one._start.items()}
    first, second, *_ = one.examples()
    once = one.probe(first)
    one.probe(second)
    assert one.probe(first) == once
    for name, weight in one._trainer.model.named_parameters():
        assert torch.equal(weight, start[name])


def test_each_arm_moves_what_its_name_says(run: RunDirectory) -> None:
    one = prober(run)
    example = one.examples()[0]
    before = one._population
    one._descend(example, before, 1.0)
    moved = [n for n, w in one._trainer.model.named_parameters() if not torch.equal(w, one._start[n])]
    rewards = {line["rewards"][0] for line in run.read("routes.jsonl")}
    assert moved or len(rewards) == 1
    one._reset()
    one._evolve(example, one._roll_out(example), 1.0)
    assert all(torch.equal(w, one._start[n]) for n, w in one._trainer.model.named_parameters())


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("clustered")
    settings = stream_settings(
        folder, router="variance", labels="hidden", clusters="inferred", advantage_group="context"
    )
    train(FastSlowConfig(**settings), display=SilentDisplay())
    return RunDirectory(folder / "run")


def test_rules_are_asked_by_what_the_run_knew_an_example_by(clustered: RunDirectory, tmp_path: Path) -> None:
    logged = {line["example_id"]: line["topic"] for line in clustered.read("routes.jsonl")}
    one = prober(clustered)
    one._reset()
    seen = [e for e in one.examples() if e.id in logged]
    assert {one._topics.of(e) for e in seen} == set(logged.values()) != {e.task for e in seen}
    group = one._roll_out(seen[0])
    evidence = one._evidence(seen[0], group)
    assert (evidence.task, evidence.step) == (one._topics.of(seen[0]), 6)
    (found, _) = probe(clustered, tmp_path / "p.jsonl")
    assert found.topic in logged.values()
    assert found.task in set(read_config(clustered).tasks or [])


def test_rules_do_not_observe_examples_that_rested(run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "run")))
    line = copy.read("routes.jsonl")[-1]
    nothing = {name: [] for name in ("rewards", "context_ids", "completion_tokens", "surprisals")}
    copy.append("routes.jsonl", [{**line, **nothing, "route": "skip"}])
    states = [
        {name: rule.state_dict() for name, rule in every_rule(read_config(run), one.path / "bundle")}
        for one in (run, copy)
    ]
    assert states[0] == states[1]


def test_slow_steps_of_a_probe_are_those_of_the_run(clustered: RunDirectory, tmp_path: Path) -> None:
    theirs, ours = read_config(clustered), probe_config(read_config(clustered), PLAN, tmp_path)
    for name in ("learning_rate", "advantage_group", "min_p", "scale_rewards", "epsilon", "optim", "max_grad_norm"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert (ours.advantage_group, ours.problems_per_step, ours.max_steps) == ("context", 1, PLAN.steps)
    assert (ours.dynamic_sampling, ours.from_bundle) == (0, ""), "one example, from the run's own weights"


def test_a_probe_that_was_broken_off_goes_on(run: RunDirectory, whole: tuple[Path, Any], output: Path) -> None:
    lines = output.read_text().splitlines(keepends=True)
    for kept in (lines[0] + lines[1] + lines[2][:40], lines[0][:10]):
        output.write_text(kept)
        assert probe(run, output) == whole[1]
        assert output.read_text() == "".join(lines)


def test_probes_of_another_plan_or_other_weights_are_refused(run: RunDirectory, output: Path) -> None:
    with pytest.raises(BadInput, match="another steps"):
        probe(run, output, ProbePlan(examples=2, steps=3, held_out=3))
    head, *rest = output.read_text().splitlines()
    about = json.loads(head)
    about["about"]["bundle"] = "0" * 16
    output.write_text("\n".join([json.dumps(about), *rest]) + "\n")
    with pytest.raises(BadInput, match="another bundle"):
        probe(run, output)
    about["about"] |= {"bundle": json.loads(head)["about"]["bundle"], "data": "0" * 16}
    output.write_text("\n".join([json.dumps(about), *rest]) + "\n")
    with pytest.raises(BadInput, match="another data"):
        probe(run, output)


def test_a_run_by_any_name_is_the_same_run(
    run: RunDirectory, whole: tuple[Path, Any], output: Path, tmp_path: Path, monkeypatch
) -> None:
    shutil.copytree(run.path, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert probe(RunDirectory("."), output) == whole[1]


@pytest.mark.parametrize(
    ("change", "foreign"),
    [
        ({"trust_remote_code": True}, "trust_remote_code"), ({"router": "a.b.c:1"}, "the router 'a.b.c'"),
        ({"proposer": "a:b"}, "the proposer 'a:b'"),
        ({"embedder": "sentence-transformers:a"}, "the embedder 'sentence-transformers:a'"),
        ({"stream": "a.b"}, "the stream 'a.b'"), ({"task": "a.b"}, "the task 'a.b'"), ({}, ""),
        ({"task": "jsonl:x.jsonl?scorer=a.b"}, "the scorer 'a.b'"),
    ],
)  # fmt: skip
def test_every_part_that_is_code_of_somebodys_own_is_noticed(change: dict, foreign: str) -> None:
    ours = {"trust_remote_code": False, "router": "variance:0.2", "proposer": "mixed", "embedder": "minilm",
            "stream": "recur:2", "task": "jsonl:x.jsonl?scorer=number", "tasks": None}  # fmt: skip
    assert _foreign(cast(Any, SimpleNamespace(**{**ours, **change}))) == foreign


@pytest.mark.parametrize("line", ["{", "[]", '{"example_id": "x"}', '{"gains": {"fast": [NaN, 0]}}', "null"])
def test_a_damaged_probe_is_refused(run: RunDirectory, output: Path, line: str) -> None:
    output.write_text(output.read_text().splitlines()[0] + "\n" + line + "\n")
    with pytest.raises(BadInput, match="is damaged"):
        probe(run, output)


def test_two_probes_do_not_write_into_one_file(run: RunDirectory, tmp_path: Path) -> None:
    with ProbesFile(tmp_path / "probes.jsonl", {}).held(), pytest.raises(BadInput, match="by another probe"):
        probe(run, tmp_path / "probes.jsonl")


def unscorable_twice(completion: str, row: dict) -> tuple[float | None, str]:
    """Two questions of the task of tests.support.runs have no score."""
    return (None, "") if row["question"].startswith(("What is 3", "What is 1")) else spread(completion, row)


def test_what_cannot_be_scored_is_passed_over(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, max_steps=1, train_size=20, seed=4)
    unscorable = "tests.experiments.test_probe:unscorable_twice"
    settings["task"] = settings["task"].replace("tests.support.runs:spread", unscorable)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    run, output, said = RunDirectory(tmp_path / "run"), tmp_path / "probes.jsonl", []
    plan = ProbePlan(examples=4, steps=1, held_out=2)
    found = probe(run, output, plan, note=said.append)
    passed = [line for line in map(json.loads, output.read_text().splitlines()[1:]) if line.get("unscorable")]
    assert len(found) == 4
    assert passed
    assert [text for text in said if "cannot be scored" in text]
    assert probe(run, output, plan) == found


def command(run: RunDirectory, *flags: str) -> int:
    return main(["probe-routes", str(run.path), "--examples", "2", "--steps", "2", "--held_out", "3", *flags])


def test_the_command_prints_a_table_and_writes_json(run: RunDirectory, tmp_path: Path, capsys) -> None:
    flags = ["--trust_task", "--output", str(tmp_path / "p.jsonl"), "--json", str(tmp_path / "v.json")]
    assert command(run, *flags) == 0
    out, err = capsys.readouterr()
    assert "variance" in out
    assert "best route measured" in out
    assert "rollouts an example took: fast" in out
    assert "2 of 2: fast" in err
    verdicts = json.loads((tmp_path / "v.json").read_text())
    assert set(verdicts["rules"]) == set(ROUTERS.names())
    assert sum(verdicts["best"].values()) == 2


def test_what_the_command_cannot_do_is_said_at_once(run: RunDirectory, tmp_path: Path, capsys) -> None:
    for flags, problem in (
        ([], "runs code of its maker's choice"),
        (["--trust_task", "--output", str(tmp_path)], "it is a directory"),
        (["--trust_task", "--output", str(tmp_path / "no" / "p.jsonl")], "its folder does not exist"),
        (["--trust_task", "--json", str(tmp_path / "no" / "v.json")], "its folder does not exist"),
        (["--trust_task", "--json", str(run.path / "probes.jsonl")], "would overwrite the probes"),
    ):
        assert command(run, *flags) == 2
        assert problem in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("file", ["bundle/router.json", "routes.jsonl"])
def test_a_damaged_run_is_refused(run: RunDirectory, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    (copy / file).write_text('{"x": 1}\n')
    with pytest.raises(BadInput, match="is damaged"):
        probe(RunDirectory(copy), tmp_path / "p.jsonl")


def test_a_run_without_a_bundle_or_an_end_is_refused(tmp_path: Path, capsys) -> None:
    settings = tiny_settings(tmp_path, max_steps=1, save_bundle=False)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    assert main(["probe-routes", str(tmp_path / "run")]) == 2
    assert "holds no finished bundle" in capsys.readouterr().err
    (tmp_path / "run" / "summary.json").write_text('{"status": "stopped by SIGTERM"}')
    assert main(["probe-routes", str(tmp_path / "run")]) == 2
    assert "fastslow resume" in capsys.readouterr().err


# Verdicts


def gains(**by_route: float) -> dict[str, tuple[float, float]]:
    return {name: (by_route.get(name, 0.0), by_route.get(name, 0.0)) for name in ("fast", "slow", "both")}


def test_a_rule_that_takes_the_best_route_each_time_has_no_regret_and_beats_every_constant() -> None:
    measured = [gains(fast=0.4), gains(slow=0.2), gains(both=0.3), gains(fast=-0.1, slow=-0.1, both=-0.1)] * 5
    report = judge_rule(["fast", "slow", "both", "skip"] * 5, measured)
    assert report.gain.value == pytest.approx(0.225)
    assert report.regret_oracle.value == pytest.approx(0.0)
    assert report.regret_constant.value == pytest.approx(0.075 - 0.225)
    assert report.regret_constant.high is not None
    assert report.regret_constant.high < 0
    assert report.agreement.value == 1.0
    assert {best: taken[best] for best, taken in report.confusion.items()} == dict.fromkeys(report.confusion, 5)


def test_the_worst_rule_regrets_what_it_left() -> None:
    report = judge_rule(["skip"] * 4, [gains(fast=0.4)] * 4)
    assert report.regret_oracle.value == pytest.approx(0.4)
    assert report.regret_constant.value == pytest.approx(0.4)
    assert report.confusion["fast"] == {"fast": 0, "slow": 0, "both": 0, "skip": 4}


def test_where_no_channel_gains_anything_the_best_is_to_skip() -> None:
    report = judge_rule(["skip", "skip", "fast"], [gains(), gains(slow=-0.1), gains()])
    assert report.agreement.value == pytest.approx(2 / 3)
    assert report.confusion["skip"] == {"skip": 2, "fast": 1, "slow": 0, "both": 0}


def test_a_route_that_ties_with_the_best_agrees_with_it() -> None:
    report = judge_rule(["slow", "fast", "both"], [gains(fast=0.2, slow=0.2)] * 3)
    assert report.agreement.value == pytest.approx(2 / 3)
    assert report.confusion["slow"]["slow"] == report.confusion["fast"]["fast"] == 1
    assert report.confusion["fast"]["both"] == 1


def test_luck_makes_no_oracle() -> None:
    """Gains of pure noise: choosing by one half and valuing by the other promises nothing."""
    rng = np.random.default_rng(0)
    noise = [{name: tuple(rng.normal(0, 0.2, 2)) for name in ("fast", "slow", "both")} for _ in range(2000)]
    report = judge_rule(["skip"] * 2000, noise)
    assert report.regret_oracle.value == pytest.approx(0.0, abs=0.01)


def test_one_example_has_no_interval() -> None:
    report = judge_rule(["fast"], [gains(fast=0.4)])
    assert (report.gain.value, report.gain.low, report.gain.high) == (0.4, None, None)


def test_calibration_sorts_by_what_was_expected() -> None:
    found = calibration([0.3, 0.1, 0.2, 0.6, 0.5, 0.4], [3, 1, 2, 6, 5, 4])
    assert found == [(pytest.approx(0.15), 1.5, 2), (pytest.approx(0.35), 3.5, 2), (pytest.approx(0.55), 5.5, 2)]
    assert calibration([0.1], [1.0]) == [(0.1, 1.0, 1)]


def test_the_routes_are_those_of_the_types() -> None:
    from fastslow.metrics.routing import ROUTES

    assert set(ROUTES) == {route.value for route in Route}
