"""Runs whose weights are cut up between processes are those of whole copies: same contexts, routes, losses, weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fastslow.bundles.bundle import open_bundle
from tests.support.served import serving
from tests.support.sharded_runs import CASES, differences, launch, lines, mean_losses, plan, same_course, seen

pytestmark = pytest.mark.processes
CLOSE = 1e-5


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sharding")
    launch(folder, plan(folder, ["DDP", "FSDP2"]))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_fsdp2_trains_as_whole_copies_do(runs: Path, case: str) -> None:
    """With two fast phases, answers of different lengths, a KL term, and a step that trains nothing."""
    whole, cut = f"{case}-DDP", f"{case}-FSDP2"
    assert [seen(runs, name)["kind"] for name in (whole, cut)] == ["DDP", "FSDP2"]
    as_trees = "trains on token trees" in seen(runs, cut)["how"]
    assert as_trees == (case != "padded"), "rows of both kinds are to be trained on"
    lengths = seen(runs, cut)["lengths"]
    assert len({n for step in lengths for n in step}) > 3, "the answers are to have different lengths"
    assert any(abs(loss) > 1e-4 for loss in mean_losses(runs, whole).values()), "there is to be a loss"
    assert same_course(runs, whole, cut)
    apart = differences(runs, whole, cut)
    assert max(apart["loss"], apart["weights"]) < CLOSE, apart


def test_a_step_that_trains_nothing_leaves_every_share_bit_for_bit(runs: Path) -> None:
    assert [seen(runs, "whole-FSDP2", rank)["still"] for rank in (0, 1)] == [True, True]


@pytest.mark.parametrize("case", CASES)
def test_evaluation_and_kl_are_those_of_whole_copies_and_every_process_works(runs: Path, case: str) -> None:
    rows = [lines(runs / f"{case}-{kind}" / "evals.jsonl") for kind in ("DDP", "FSDP2")]
    what = ("step", "weights", "context", "context_id", "accuracy", "n")
    assert [[row[k] for k in what] for row in rows[0]] == [[row[k] for k in what] for row in rows[1]]
    assert any((row["kl"] or 0.0) > 1e-3 for row in rows[0]), "the weights are to move"
    assert differences(runs, f"{case}-DDP", f"{case}-FSDP2")["kl"] < 1e-4
    for counted in ("samples", "kl_forwards"):
        shares = [seen(runs, f"{case}-FSDP2", rank)[counted] for rank in (0, 1)]  # the row of who has none counts too
        assert min(shares) > 0.3 * sum(shares), f"{counted}: {shares}"


def test_a_run_of_shares_goes_back_to_an_earlier_step_bit_for_bit(tmp_path: Path) -> None:
    """Weights and moments of every process."""
    runs = plan(tmp_path, ["FSDP2"], ["adam"])
    runs[0] |= {"back": [1, 2]}
    runs[0]["settings"] |= {"save_strategy": "steps", "save_steps": 1, "save_time_share": 1.0, "keep_every": 1}
    runs[0]["settings"]["max_steps"] = 3  # one after the way back
    launch(tmp_path, runs)
    for rank in (0, 1):
        assert seen(tmp_path, "adam-FSDP2", rank)["back"] == [False, True], "the weights are to move, and to come back"
        held = seen(tmp_path, "adam-FSDP2", rank)["bytes"]
        assert held["optimiser"] >= 2 * held["weights"], "two moments of every weight that is held"


def test_servers_answer_for_cut_up_weights_as_they_do_for_whole_ones(tmp_path: Path) -> None:
    """Every step is sampled by the weights that the step before left, gathered and pushed by all processes."""
    with serving(tmp_path / "served", 2) as servers:
        runs = plan(tmp_path, ["DDP", "FSDP2"], ["padded", "lora"])
        for run in runs:
            run["settings"] |= {"engine": "vllm", "engine_urls": [server.url for server in servers]}
        launch(tmp_path, runs)
    for whole, cut in (("padded-DDP", "padded-FSDP2"), ("lora-DDP", "lora-FSDP2")):
        assert seen(tmp_path, cut)["kind"] == "FSDP2"
        assert same_course(tmp_path, whole, cut)
        assert differences(tmp_path, whole, cut)["weights"] < CLOSE
        gap = json.loads((tmp_path / cut / "summary.json").read_text())["engine"]["largest_gap"]
        assert 0 < gap < 1e-4, "the servers sampled with other weights than the run trained"


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_of_cut_up_weights_loads_in_one_process_and_says_what_the_run_said(runs: Path, case: str) -> None:
    cut = open_bundle(runs / f"{case}-FSDP2").model
    whole = open_bundle(runs / f"{case}-DDP").model
    ids = torch.randint(0, 250, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = [model(input_ids=ids).logits.log_softmax(-1) for model in (cut, whole)]
    assert float((said[0] - said[1]).abs().max()) < CLOSE
    config = json.loads(next((runs / f"{case}-FSDP2/bundle").glob("*config.json")).read_text())
    assert "FSDP" not in json.dumps(config)
