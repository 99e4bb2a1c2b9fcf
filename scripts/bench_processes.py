"""What a second process saves: seconds of a fast phase, of rollouts and of an evaluation, one process against two.

    python scripts/bench_processes.py results/bench-processes.json      some ten minutes on two idle cores

SmolLM2-135M on the quickstart's task. Every process has one thread, as on machines where each has a device of its own;
one process with both cores is measured as well, because on a CPU that is the other way to use them. The sides take
turns, so that a busy machine slows all of them. Populations, routes and results of the sides are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from fastslow.files.run_directory import machine, versions

ROOT = Path(__file__).parents[1]
SIDES = {"one": (1, 1), "two": (2, 1), "one with two threads": (1, 2)}
"""Name -> processes, threads of each."""
PHASES = ("fast", "rollout", "eval")


def settings() -> dict[str, Any]:
    """Return the quickstart, cut to one cycle: a fast phase, two slow steps and the evaluation after them."""
    recipe = yaml.safe_load((ROOT / "recipes/quickstart.yaml").read_text(encoding="utf-8"))
    return recipe | {
        "max_steps": 2, "slow_steps_per_cycle": 2, "eval_strategy": "no", "save_strategy": "no", "save_bundle": True,
        "bf16": False, "seed": 1,
    }  # fmt: skip


def run(folder: Path, name: str, number: int) -> Path:
    """Train once with the processes and threads of a side; return the run directory."""
    processes, threads = SIDES[name]
    path = folder / f"{name.replace(' ', '-')}-{number}"
    command = [sys.executable]
    if processes > 1:
        command += [
            "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), "--num_machines", "1",
            "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        ]  # fmt: skip
    command += ["-m", "fastslow", "train", "--config", str(folder / "recipe.yaml"), "--output_dir", str(path)]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def outcome(path: Path) -> dict[str, Any]:
    """Return what must not depend on the number of processes."""
    rows = [json.loads(line) for line in (path / "routes.jsonl").read_text(encoding="utf-8").splitlines()]
    evals = [json.loads(line) for line in (path / "evals.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "population": json.loads((path / "bundle/population.json").read_text(encoding="utf-8"))["members"],
        "routes": [(row["example_id"], row["route"], row["rewards"]) for row in rows],
        "accuracy": [(row["weights"], row["context"], row["accuracy"]) for row in evals],
    }


def main() -> None:
    """Measure every side in turn, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs (default 2)")
    options = parser.parse_args()
    output, rounds = options.output, options.rounds
    seconds: dict[str, dict[str, list[float]]] = {side: {phase: [] for phase in PHASES} for side in SIDES}
    outcomes: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(settings()), encoding="utf-8")
        for number in range(rounds):
            for side in SIDES:
                path = run(folder, side, number)
                wall = json.loads((path / "summary.json").read_text(encoding="utf-8"))["wall_s"]
                for phase in PHASES:
                    seconds[side][phase].append(wall[phase])
                outcomes.setdefault(side, outcome(path))
                print(f"round {number + 1} of {rounds}, {side}: {', '.join(f'{p} {wall[p]:.1f} s' for p in PHASES)}")
    ratios = {
        side: {
            phase: statistics.median(a / b for a, b in zip(seconds[side][phase], seconds["one"][phase], strict=True))
            for phase in PHASES
        }
        for side in SIDES
    }
    same = {what: outcomes["one"][what] == outcomes["two"][what] for what in outcomes["one"]}
    result = {
        "seconds": seconds,
        "ratio_to_one": ratios,
        "same_as_one": same,
        "machine": machine(),
        "versions": versions(),
    }
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for side, by_phase in ratios.items():
        print(f"{side:22s}" + "".join(f"{phase} {ratio:.2f}   " for phase, ratio in by_phase.items()))
    print("two processes find the same: " + ", ".join(f"{what} {same[what]}" for what in same))


if __name__ == "__main__":
    main()
