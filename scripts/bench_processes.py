"""What a second process saves: seconds of a fast phase, of rollouts and of an evaluation, one process against two.

    python scripts/bench_processes.py results/bench-processes.json      some ten minutes on two idle cores

SmolLM2-135M on the quickstart's task. Every process has one thread, as on machines where each has a device of its own;
one process with both cores is measured as well, because on a CPU that is the other way to use them. The sides take
turns, so that a busy machine slows all of them. Populations, routes and results of the sides are compared.

Half the rows do not take half the time: a forward that decodes one token reads all weights, however few rows it has. So
the seconds of such forwards are measured by rows as well, in one process and in two at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import DynamicCache

from fastslow.files.run_directory import machine, versions
from fastslow.policy.loading import load_model, resolve_model

ROOT = Path(__file__).parents[1]
SIDES = {"one": (1, 1), "two": (2, 1), "one with two threads": (1, 2)}
"""Name -> processes, threads of each."""
PHASES = ("fast", "rollout", "eval")
ROWS = (2, 4, 8, 16, 32, 64)
"""Rows of the forwards that are timed: a fast phase asks for 4 to 16 at once, an evaluation for more."""
CONTEXT = 150
"""Tokens before the one that is decoded: about a context and a question of the quickstart."""


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


@torch.no_grad()
def time_forwards() -> dict[int, float]:
    """Return the median milliseconds of a forward that decodes one token, by number of rows, with one thread."""
    torch.set_num_threads(1)
    model = load_model(resolve_model("smollm2-135m")).eval()
    milliseconds = {}
    for rows in ROWS:
        cache = DynamicCache(config=model.config)
        model(input_ids=torch.zeros(rows, CONTEXT, dtype=torch.long), past_key_values=cache, logits_to_keep=1)
        token, times = torch.zeros(rows, 1, dtype=torch.long), []
        for _ in range(12):
            start = time.perf_counter()
            model(input_ids=token, past_key_values=cache, logits_to_keep=1)
            times.append(time.perf_counter() - start)
        milliseconds[rows] = 1000 * statistics.median(times)
    return milliseconds


def forwards() -> dict[str, list[dict[int, float]]]:
    """Return what `time_forwards` says in one process, and in each of two that run at once."""
    return {name: _side_by_side(count) for name, count in (("one", 1), ("two", 2))}


def _side_by_side(count: int) -> list[dict[int, float]]:
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(time_forwards) for _ in range(count)]]


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
    by_rows = forwards()
    result = {
        "seconds": seconds,
        "ratio_to_one": ratios,
        "same_as_one": same,
        "milliseconds_of_a_decoding_forward_by_rows": by_rows,
        "machine": machine(),
        "versions": versions(),
    }
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for side, by_phase in ratios.items():
        print(f"{side:22s}" + "".join(f"{phase} {ratio:.2f}   " for phase, ratio in by_phase.items()))
    for name, measured in by_rows.items():
        print(
            f"a decoding forward, {name}: " + ", ".join(f"{rows} rows {ms:.0f} ms" for rows, ms in measured[0].items())
        )
    print("two processes find the same: " + ", ".join(f"{what} {same[what]}" for what in same))


if __name__ == "__main__":
    main()
