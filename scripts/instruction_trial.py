"""Do compiled instructions help: prompts alone, three proposers, two tasks, equal budgets (`make instruction-trial`, an
hour or less on one core).

    python scripts/instruction_trial.py results/instruction-trial.json docs/training.md [--seeds 1 2 3]

SmolLM2-135M evolves contexts in mode `prompt`. Then the context that would ship and the seed context answer all
held-out questions (validation and test), each twice. Cells that the JSON file holds are not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pages import write_between

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.files.run_directory import RunDirectory, machine, versions
from fastslow.record.recorder import Recorder
from fastslow.run.trainer import FastSlowTrainer

TASKS = {
    # The quickstart's: the reply must be the number and nothing else, and the question says so.
    "products, exact": ("reasoning_gym:products?min_terms=2&max_terms=2&min_digits=1&max_digits=1", 8),
    # Partial credit, the more the shorter a text around the right answer is; the feedback alone says so.
    "sums, partial credit": (
        "reasoning_gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1&strict=false", 16,
    ),
}  # fmt: skip
PROPOSERS = ("demonstrations", "instructions", "offline")
SEEDS = (1, 2, 3)
SAMPLES = 2
SETTINGS: dict[str, Any] = {
    "model": "smollm2-135m", "mode": "prompt", "train_size": 200, "validation_size": 32, "test_size": 32,
    "population_size": 4, "slow_steps_per_cycle": 5, "max_steps": 15, "anchor_size": 12, "fast_metric_calls": 96,
    "max_worked_examples": 3, "problems_per_step": 4, "num_generations": 8, "eval_strategy": "no",
    "eval_temperature": 0.6, "eval_top_p": 0.95, "save_bundle": False, "save_strategy": "no", "kl_examples": 2,
}  # fmt: skip
BEGIN, END = "<!-- instruction-trial -->", "<!-- /instruction-trial -->"


def cell(task: str, proposer: str, seed: int, plain: float | None) -> dict[str, Any]:
    """Run one cell and return the mean rewards and what was spent and kept. `plain` is the seed context's mean reward,
    where it is known: it is the same in all cells of a task."""
    name, tokens = TASKS[task]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        own = {"task": name, "max_completion_length": tokens, "proposer": proposer, "seed": seed, "output_dir": folder}
        run = RunDirectory(folder)
        trainer = FastSlowTrainer(FastSlowConfig(**SETTINGS, **own), recorder=Recorder(run))
        trainer.train()
        contexts, metrics = run.read("contexts.jsonl"), run.read("metrics.jsonl")
    data, lead = trainer.parts.task, trainer.population.lead
    examples = [*data.split("validation"), *data.split("test")]
    params = replace(trainer.policy.params, temperature=0.6, top_p=0.95)

    def mean_reward(context: Context) -> float:
        answers = answer_examples(trainer.policy, context, examples, Sampling(params, SAMPLES, 1))
        return accuracy_of(answers, SAMPLES).accuracy or 0.0

    return {
        "task": task, "proposer": proposer, "run_seed": seed, "questions": len(examples),
        "plain": mean_reward(trainer.population.seed) if plain is None else plain, "shipped": mean_reward(lead),
        "metric_calls": sum(line.get("fst/fast/metric_calls", 0) for line in metrics),
        "proposals": len(contexts), "accepted": sum(line["accepted"] for line in contexts),
        "lead_made_by": lead.proposer, "instruction": lead.components["instruction"],
        "worked_examples": len(lead.worked_examples), "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| task | proposer | seeds | seed context | what ships, each seed | mean | proposals, kept | metric calls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        for proposer in PROPOSERS:
            some = [row for row in rows if (row["task"], row["proposer"]) == (task, proposer)]
            if not some:
                continue
            mean = {
                key: statistics.fmean(row[key] for row in some)
                for key in ("plain", "shipped", "proposals", "accepted", "metric_calls")
            }
            own = ", ".join(f"{row['shipped']:.2f}" for row in sorted(some, key=lambda row: row["run_seed"]))
            cells = (
                task, f"`{proposer}`", str(len(some)), f"{mean['plain']:.2f}", own, f"{mean['shipped']:.2f}",
                f"{mean['proposals']:.0f}, {mean['accepted']:.0f}", f"{mean['metric_calls']:.0f}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options = parser.parse_args()
    rows = json.loads(options.results.read_text())["cells"] if options.results.exists() else []
    done = {(row["task"], row["proposer"], row["run_seed"]) for row in rows}
    for seed in options.seeds:
        for task in TASKS:
            for proposer in PROPOSERS:
                if (task, proposer, seed) in done:
                    continue
                plain = next((row["plain"] for row in rows if row["task"] == task), None)
                row = cell(task, proposer, seed, plain)
                rows.append(row)
                print(f"{task}, {proposer}, seed {seed}: {row['plain']:.3f} -> {row['shipped']:.3f}", flush=True)
                made = {"machine": machine(), "versions": versions(), "cells": rows}
                options.results.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
