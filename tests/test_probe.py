"""Counterfactual probes of routes, and the verdicts drawn from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fastslow.cli.main import main
from fastslow.config import FastSlowConfig
from fastslow.display import SilentDisplay
from fastslow.errors import BadInput
from fastslow.metrics.routing import calibration, judge_rule
from fastslow.probe import ProbePlan, Prober, probe_routes, read_probes
from fastslow.routers import ROUTERS
from fastslow.run_dir import RunDirectory
from fastslow.train import train
from fastslow.types import Route
from tests.support.runs import tiny_settings

PLAN = ProbePlan(examples=2, steps=2, held_out=3, samples=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("probe")
    train(FastSlowConfig(**tiny_settings(folder, router="variance", max_steps=3)), display=SilentDisplay())
    return RunDirectory(folder / "run")


def test_a_probe_holds_what_every_rule_said_and_every_arm_gained_at_like_cost(run: RunDirectory, tmp_path) -> None:
    (probe, _) = probe_routes(run, PLAN, output=tmp_path / "probes.jsonl")
    assert set(probe.routes) == set(ROUTERS.names())
    assert set(probe.gains) == {"fast", "slow", "both"}
    assert all(-1.0 <= gain <= 1.0 for pair in probe.gains.values() for gain in pair)
    assert probe.rollouts["slow"] > 0
    # A proposer with nothing more to propose ends its phase early; nobody may spend much more than the others.
    assert max(probe.rollouts.values()) <= 1.25 * probe.rollouts["slow"]
    assert probe.routes["both"] == "both"


def test_probing_leaves_the_trainer_as_it_was_and_repeats_itself(run: RunDirectory) -> None:
    prober = Prober(run, PLAN)
    start = {name: weight.clone() for name, weight in prober._start.items()}
    first, second = prober.examples()
    once = prober.probe(first)
    prober.probe(second)
    assert prober.probe(first) == once
    for name, weight in prober._trainer.model.named_parameters():
        assert torch.equal(weight, start[name])


def test_each_arm_moves_what_its_name_says(run: RunDirectory) -> None:
    prober = Prober(run, PLAN)
    example = prober.examples()[0]
    before = prober._population
    prober._descend(example, before, 1.0)
    moved = [n for n, w in prober._trainer.model.named_parameters() if not torch.equal(w, prober._start[n])]
    rewards = {line["rewards"][0] for line in run.read("routes.jsonl")}
    assert moved or len(rewards) == 1
    prober._reset()
    prober._evolve(example, prober._roll_out(example), 1.0)
    assert all(torch.equal(w, prober._start[n]) for n, w in prober._trainer.model.named_parameters())


def test_a_probe_that_was_broken_off_goes_on_and_another_plan_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    output = tmp_path / "probes.jsonl"
    whole = probe_routes(run, PLAN, output=output)
    lines = output.read_text().splitlines()
    output.write_text("\n".join(lines[:2]) + "\n")
    assert probe_routes(run, PLAN, output=output) == whole
    with pytest.raises(BadInput, match="probes made otherwise"):
        probe_routes(run, ProbePlan(examples=2, steps=3), output=output)
    output.write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        read_probes(output)


def test_the_command_prints_a_table_and_writes_json(run: RunDirectory, tmp_path: Path, capsys) -> None:
    flags = ["--examples", "2", "--steps", "2", "--held_out", "3", "--output", str(tmp_path / "p.jsonl")]
    assert main(["probe-routes", str(run.path), *flags, "--json", str(tmp_path / "v.json")]) == 0
    out = capsys.readouterr().out
    assert "variance" in out
    assert "best route measured" in out
    verdicts = json.loads((tmp_path / "v.json").read_text())
    assert set(verdicts["rules"]) == set(ROUTERS.names())


def test_a_run_without_a_bundle_is_refused(tmp_path: Path, capsys) -> None:
    settings = tiny_settings(tmp_path, max_steps=1, save_bundle=False)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    assert main(["probe-routes", str(tmp_path / "run")]) == 2
    assert "holds no finished bundle" in capsys.readouterr().err


# Verdicts


def gains(**by_route: float) -> dict[str, tuple[float, float]]:
    return {name: (by_route.get(name, 0.0),) * 2 for name in ("fast", "slow", "both")}


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
