"""Fast phases, rollouts and evaluations are shared by all processes, and what comes out is what one process finds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from fastslow.cli.main import main
from fastslow.policy.policy import Policy
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings

pytestmark = pytest.mark.processes


def counted(name: str) -> None:
    """Train, and write down how many completions this process sampled."""
    made: list[int] = []
    roll_out = Policy._roll_out

    def counting(self: Policy, jobs: Any, params: Any) -> Any:
        made.append(len(jobs))
        return roll_out(self, jobs, params)

    Policy._roll_out = counting  # type: ignore[method-assign]
    assert main(["train", "--config", "recipe.yaml", "--output_dir", name]) == 0
    Path(f"{name}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(sum(made)))


def run(folder: Path, name: str, processes: int) -> list[int]:
    """Train in `folder`; returns how many completions each process sampled."""
    with Nursery(folder) as nursery:
        codes = nursery.call("tests.loop.test_collective", "counted", name, ranks=processes)
    assert set(codes) == {0}, nursery.log()[-3000:]
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(processes)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_processes_share_all_sampling_and_find_what_one_finds(tmp_path: Path) -> None:
    """The last step is evaluated as well: a run of several processes once measured it twice, and never ended."""
    # Plain SGD: Adam turns the rounding of a gradient near zero into a whole step, and runs part ways.
    settings = tiny_settings(
        tmp_path, max_steps=4, problems_per_step=4, optim="sgd", learning_rate=1.0, eval_strategy="steps", eval_steps=2,
        validation_size=8,
    )  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    (alone,) = run(tmp_path, "one", 1)
    shares = run(tmp_path, "two", 2)
    assert sum(shares) == alone, "something was sampled twice, or not at all"
    assert max(shares) <= 0.55 * alone, f"of {alone} completions one process made {max(shares)}"

    one, two = tmp_path / "one", tmp_path / "two"
    assert (one / "contexts.jsonl").read_text() == (two / "contexts.jsonl").read_text()
    populations = [json.loads((path / "bundle/population.json").read_text()) for path in (one, two)]
    assert populations[0] == populations[1]
    for name, exact in (("routes.jsonl", ("example_id", "route", "rewards", "context_ids", "completion_tokens")),
                        ("evals.jsonl", ("step", "weights", "context", "context_id", "accuracy", "n"))):  # fmt: skip
        rows = [[{key: row[key] for key in exact} for row in lines(path / name)] for path in (one, two)]
        assert rows[0] == rows[1], f"{name} differs"
    for row, other in zip(lines(one / "evals.jsonl"), lines(two / "evals.jsonl"), strict=True):
        assert (row["kl"] or 0.0) == pytest.approx(other["kl"] or 0.0, rel=1e-3, abs=1e-6)
    weights = [load_file(path / "bundle/model.safetensors") for path in (one, two)]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-4
