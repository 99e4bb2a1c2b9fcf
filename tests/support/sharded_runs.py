"""Plans of runs that two processes train with whole copies and with shares, and what is read from their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings

EMPTY_STEP = 2  # two steps before it, and one after it that trains again
SHAPE = {
    "max_steps": 4, "slow_steps_per_cycle": 2, "max_completion_length": 12, "problems_per_step": 2,
    "fast_metric_calls": 20, "validation_size": 5, "kl_examples": 5, "optim": "sgd", "learning_rate": 0.5,
    "save_strategy": "no",
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "whole": {"beta": 0.1},
    "padded": {"packing": "off", "max_steps": 2, "slow_steps_per_cycle": 2, "kl_examples": 1},
    "lora": {"beta": 0.1, "lora_r": 4, "max_steps": 2},
    "adam": {"optim": "adamw_torch", "learning_rate": 1e-3, "max_steps": 2},
    "critic": {"advantages": "critic", "critic_warmup_steps": 1, "loss_type": "grpo", "max_steps": 2, "mode": "rl"},
}
"""Two fast phases, answers of different lengths, a KL term, a step that trains nothing; padded rows, and an
evaluation in which one process has no row for the KL; adapters; an optimiser with moments, which are cut up too; a
critic, which is not."""


def plan(folder: Path, kinds: Sequence[str], cases: Sequence[str] = tuple(CASES)) -> list[dict[str, Any]]:
    return [
        {"name": f"{name}-{kind}", "kind": kind, "empty": EMPTY_STEP if name == "whole" else None,
         "settings": tiny_settings(folder, **{**SHAPE, **CASES[name]})}
        for name in cases
        for kind in kinds
    ]  # fmt: skip


def launch(folder: Path, runs: list[dict[str, Any]], processes: int = 2) -> None:
    """Have `processes` processes train the runs of a plan. Raises RuntimeError where one of them fails."""
    with Nursery(folder) as nursery:
        ends = nursery.call("tests.support.on_shards", "main", str(folder), runs, ranks=processes)
        if any(ends):
            raise RuntimeError(f"exit codes {ends}: {nursery.log()[-4000:]}")


def seen(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    """What one process saw of a run."""
    return json.loads((folder / f"{name}-{rank}.json").read_text())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mean_losses(folder: Path, name: str) -> dict[str, float]:
    """The loss of every step, the mean of two processes."""
    ranks = [seen(folder, name, rank)["losses"] for rank in (0, 1)]
    return {step: sum(losses[step] for losses in ranks) / 2 for step in ranks[0]}


def differences(folder: Path, one: str, other: str) -> dict[str, float]:
    """How far two runs are apart: losses, weights of the bundles, KL of the evaluations."""
    losses = [mean_losses(folder, name) for name in (one, other)]
    weights = [load_file(next((folder / name / "bundle").glob("*model.safetensors"))) for name in (one, other)]
    kls = [[row["kl"] or 0.0 for row in lines(folder / name / "evals.jsonl")] for name in (one, other)]
    assert losses[0].keys() == losses[1].keys()
    assert weights[0].keys() == weights[1].keys()
    return {
        "loss": max(abs(losses[0][step] - losses[1][step]) for step in losses[0]),
        "weights": max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]),
        "kl": max(abs(a - b) for a, b in zip(*kls, strict=True)),
    }


def same_course(folder: Path, one: str, other: str) -> bool:
    """Whether two runs had the same contexts, routes, rewards and answers' lengths."""
    exact = ("example_id", "route", "rewards", "context_ids", "completion_tokens")
    contexts = [(folder / name / "contexts.jsonl").read_text() for name in (one, other)]
    routes = [[[row[k] for k in exact] for row in lines(folder / name / "routes.jsonl")] for name in (one, other)]
    return contexts[0] == contexts[1] and routes[0] == routes[1]
