"""Fast phases, rollouts and evaluations are shared by all processes, and what comes out is what one process finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from tests.support.runs import tiny_settings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.processes

SCRIPT = """
import json, os, sys
from fastslow.cli.main import main
from fastslow.policy.policy import Policy

made, roll_out = [], Policy._roll_out

def counted(self, jobs, params):
    made.append(len(jobs))
    return roll_out(self, jobs, params)

Policy._roll_out = counted
code = main(["train", "--config", "recipe.yaml", "--output_dir", sys.argv[1]])
with open(f"{sys.argv[1]}-{os.environ.get('RANK', '0')}.json", "w") as file:
    json.dump(sum(made), file)
sys.exit(code)
"""


def run(folder: Path, name: str, processes: int) -> list[int]:
    """Train in `folder`; returns how many completions each process sampled."""
    launch = [sys.executable, "script.py", name]
    if processes > 1:
        # On a CPU, `--multi_gpu` is what makes accelerate start more than one process.
        launch = [
            sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes),
            "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
            "script.py", name,
        ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, env=env, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
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
    (tmp_path / "script.py").write_text(SCRIPT)
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
