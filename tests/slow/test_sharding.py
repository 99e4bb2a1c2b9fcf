"""Runs whose weights are cut up between processes are those of whole copies: same contexts, routes, losses, weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastslow.bundles.bundle import open_bundle
from tests.support.runs import tiny_settings
from tests.support.sharding import free_port, rank_environment

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.processes
EMPTY_STEP = 3
CLOSE = 1e-5


def launch(folder: Path, plan: list[dict[str, Any]], processes: int = 2) -> None:
    """Have `processes` processes train the runs of a plan."""
    (folder / "plan.json").write_text(json.dumps(plan))
    port = free_port()
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.on_shards", str(folder), str(folder / "plan.json")],
            env={**env, **rank_environment(rank, processes, port)}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    ends = [rank.communicate(timeout=240) for rank in ranks]
    for rank, (_, said) in zip(ranks, ends, strict=True):
        assert rank.returncode == 0, said[-4000:]


CASES: dict[str, dict[str, Any]] = {
    "whole": {"beta": 0.1},
    "lora": {"beta": 0.1, "lora_r": 4, "max_steps": 4},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sharding")
    shape = {
        "max_steps": 6, "slow_steps_per_cycle": 3, "max_completion_length": 24, "problems_per_step": 2,
        "validation_size": 5, "kl_examples": 5, "optim": "sgd", "learning_rate": 0.5, "save_strategy": "no",
    }  # fmt: skip
    plan = [
        {"name": f"{name}-{kind}", "kind": kind, "empty": EMPTY_STEP if name == "whole" else None,
         "settings": tiny_settings(folder, **{**shape, **settings})}
        for name, settings in CASES.items()
        for kind in ("DDP", "FSDP2")
    ]  # fmt: skip
    launch(folder, plan)
    return folder


def seen(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    return json.loads((folder / f"{name}-{rank}.json").read_text())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mean_losses(folder: Path, name: str) -> dict[str, float]:
    ranks = [seen(folder, name, rank)["losses"] for rank in (0, 1)]
    return {step: sum(losses[step] for losses in ranks) / 2 for step in ranks[0]}


@pytest.mark.parametrize("case", CASES)
def test_fsdp2_trains_as_whole_copies_do(runs: Path, case: str) -> None:
    """With two fast phases, answers of different lengths, a KL term, and a step that trains nothing."""
    assert [seen(runs, f"{case}-{kind}")["kind"] for kind in ("DDP", "FSDP2")] == ["DDP", "FSDP2"]
    lengths = seen(runs, f"{case}-FSDP2")["lengths"]
    assert len({n for step in lengths for n in step}) > 3, "the answers are to have different lengths"
    whole, cut = runs / f"{case}-DDP", runs / f"{case}-FSDP2"
    losses, ours = mean_losses(runs, whole.name), mean_losses(runs, cut.name)
    assert ours == pytest.approx(losses, abs=CLOSE)
    assert any(abs(loss) > 1e-4 for loss in losses.values())
    assert (whole / "contexts.jsonl").read_text() == (cut / "contexts.jsonl").read_text()
    for name in ("example_id", "route", "rewards", "context_ids", "completion_tokens"):
        rows = [[row[name] for row in lines(path / "routes.jsonl")] for path in (whole, cut)]
        assert rows[0] == rows[1], f"{name} differs"
    weights = [load_file(next((path / "bundle").glob("*model.safetensors"))) for path in (whole, cut)]
    assert weights[0].keys() == weights[1].keys()
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < CLOSE


def test_a_step_that_trains_nothing_leaves_every_share_bit_for_bit(runs: Path) -> None:
    assert [seen(runs, "whole-FSDP2", rank)["still"] for rank in (0, 1)] == [True, True]


@pytest.mark.parametrize("case", CASES)
def test_evaluation_and_kl_are_those_of_whole_copies_and_every_process_works(runs: Path, case: str) -> None:
    rows = [lines(runs / f"{case}-{kind}" / "evals.jsonl") for kind in ("DDP", "FSDP2")]
    assert len(rows[0]) == len(rows[1]) > 4
    for row, ours in zip(*rows, strict=True):
        assert [row[k] for k in ("step", "weights", "context", "accuracy")] == [
            ours[k] for k in ("step", "weights", "context", "accuracy")
        ]
        assert (ours["kl"] or 0.0) == pytest.approx(row["kl"] or 0.0, abs=1e-4)
    assert any((row["kl"] or 0.0) > 1e-3 for row in rows[0]), "the weights are to move"
    for what in ("samples", "kl_forwards"):
        shares = [seen(runs, f"{case}-FSDP2", rank)[what] for rank in (0, 1)]
        assert min(shares) > 0.3 * sum(shares), f"{what}: {shares}"


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
