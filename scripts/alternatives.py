"""Which way to adapt a model? Arms through the same three tasks, in both orders (`make alternatives`, hours).

    python scripts/alternatives.py FOLDER results/alternatives docs/alternatives.md [--arms fst,rl,sft]
        [--seeds 5] [--orders forward reverse] [--recipe RECIPE] [--rates 1]

First every arm that trains weights gets its learning rate: of three factors on its usual one, that with the best
accuracy after the first task alone, with seed 0, which no comparison uses. `--rates 1` takes the usual one. Then
`fastslow continual` runs the arms; what is finished is not run again. Of every bundle is measured what no task asks
for (bundle_measures.py). FOLDER keeps runs and bundles; the results folder keeps what is committed: the
light files of each run with its measurements, so that seeds and arms may be added on other days and machines.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from bundle_measures import measured
from kept import PLAN, done, fetch, keep
from pages import write_between

from fastslow.experiments.arms import ARMS
from fastslow.files.run_directory import machine, versions
from fastslow.report.questions.compare import Arm, compare
from fastslow.report.questions.continual import at_the_end, intervals, measures_of_arm
from fastslow.report.reading.sources import load_sources

ROOT = Path(__file__).parents[1]
FACTORS = (0.3, 1.0, 3.0)
RATE_SEED = 0
ACROSS = ("stream", "labels", "clusters", "rehearsal_share", "adapter_stages")
"""Settings about the other tasks, or about which task it is: arms that differ in these alone share a learning rate."""
RATES, MEASURED = "rates.json", "measured.json"
TASK_IS = {"labels": "told", "inferred": "inferred"}
LEARNED = (
    "seeds", "asks for the task", "average accuracy", "forgotten since peak", "backward transfer", "forward transfer",
    "bits per byte of prose, rise", "KL on neutral prompts", "accuracy on tasks nobody trained on, change",
)  # fmt: skip
COSTS = (
    "rollouts", "trained tokens", "minutes of training", "peak memory (GB)", "prompt tokens added",
    "time to the first token", "for each further", "weights that ship (MB)", "cache of a prompt (MB)",
)  # fmt: skip
BEGIN, END = "<!-- alternatives -->", "<!-- /alternatives -->"


def recipe_of(base: Path, folder: Path, order: str, rates: dict[str, float]) -> Path:
    """Write the recipe with its tasks in this order, and each arm's learning rate, and return its file."""
    recipe = yaml.safe_load(base.read_text(encoding="utf-8"))
    tasks = recipe["tasks"] if order == "forward" else recipe["tasks"][::-1]
    arms = {arm: {"learning_rate": rate} for arm, rate in rates.items()}
    file = folder / f"{order}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(recipe | {"tasks": tasks} | ({"compare": {"arms": arms}} if arms else {})))
    return file


def on_one_task(arm: str) -> dict[str, Any]:
    """Return what an arm sets that matters to its first task alone."""
    return {name: value for name, value in ARMS[arm].settings.items() if name not in ACROSS}


def chosen_rates(base: Path, folder: Path, arms: list[str], known: dict[str, float]) -> dict[str, float]:
    """Return arm -> learning rate, by the accuracy after the first task alone; arms that train no weights have none."""
    recipe = yaml.safe_load(base.read_text(encoding="utf-8"))
    alone = {k: v for k, v in recipe.items() if k not in ("tasks", "stage_steps", "compare", "stream")}
    alone |= {"task": recipe["tasks"][0], "max_steps": recipe["stage_steps"], "save_bundle": False}
    for arm in arms:
        own = on_one_task(arm)
        if arm in known or own["mode"] in ("prompt", "retrieval"):
            continue
        alike = next(name for name in ARMS if on_one_task(name) == own)
        found = {}
        for factor in FACTORS:
            rate = factor * ARMS[arm].rate * recipe["learning_rate"]
            run = folder / "rates" / f"{alike}-{factor:g}"
            file = run.with_suffix(".yaml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(alone | own | {"learning_rate": rate, "seed": RATE_SEED}))
            if run.name not in done(run.parent):
                shutil.rmtree(run, ignore_errors=True)  # broken off: it takes a minute
                code, _ = by_itself("train", "--config", str(file), "--output_dir", str(run))
                if code:
                    raise SystemExit(code)
            summary = json.loads((run / "summary.json").read_text())
            found[rate] = summary["accuracy"][summary["ships"]]
        known[arm] = max(found, key=lambda rate: (found[rate], -rate))
    return known


def tables(results: Path, orders: list[str]) -> str:
    """Return two tables for each order that was run: what is learned and kept, and what it costs."""
    parts = []
    for order in orders:
        (comparison,) = compare(*load_sources([results / order]))
        rows = [_row(arm) for arm in comparison.arms]
        for title, columns in (("what is learned and kept", LEARNED), ("what it costs", COSTS)):
            head = ["arm", *columns]
            lines = ["| " + " | ".join(line) + " |" for line in (head, *([row[name] for name in head] for row in rows))]
            lines.insert(1, "|---" * len(head) + "|")
            parts.append("\n".join([f"Tasks in {order} order, {title}:", "", *lines]))
    return "\n\n".join(parts)


def _row(arm: Arm) -> dict[str, str]:
    mine = [json.loads((run.path / MEASURED).read_text()) for run in arm.runs]
    average, sure = at_the_end(arm)
    measures, known = measures_of_arm(arm), intervals(arm)
    summaries = [run.summary for run in arm.runs]

    def mean(values: Sequence[float | None]) -> float:
        there = [value for value in values if value is not None]
        return statistics.fmean(there) if there else float("nan")

    def within(value: float | None, interval: tuple[float, float] | None) -> str:
        if value is None:
            return "n/a"
        return f"{value:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")

    def of(name: str) -> str:
        return within(getattr(measures, name) if measures is not None else None, known.get(name))

    def trained(summary: Mapping[str, Any]) -> float:
        return summary["wall_s"]["total"] - summary["wall_s"].get("eval", 0.0)

    rise = mean([one["bits_per_byte"] / one["base_bits_per_byte"] - 1 for one in mine])
    elsewhere = [
        mean([*one["untrained"].values()]) - mean([*one["base_untrained"].values()]) for one in mine
    ]  # fmt: skip
    return {
        "arm": f"`{arm.label}`",
        "seeds": f"{len(arm.runs)}",
        "asks for the task": TASK_IS.get(ARMS[arm.label].settings.get("clusters", ""), "no"),
        "average accuracy": within(average, sure),
        "forgotten since peak": of("forgetting_since_peak"),
        "backward transfer": of("backward_transfer"),
        "forward transfer": of("forward_transfer"),
        "bits per byte of prose, rise": f"{rise:+.2%}",
        "KL on neutral prompts": f"{mean([one['neutral_kl'] for one in mine]):.3f}",
        "accuracy on tasks nobody trained on, change": f"{mean(elsewhere):+.2f}",
        "rollouts": f"{mean([one['rollouts']['slow'] + one['rollouts']['fast'] for one in summaries]):,.0f}",
        "trained tokens": f"{mean([one['trained']['tokens'] for one in summaries]):,.0f}",
        "minutes of training": f"{mean([trained(one) for one in summaries]) / 60:.1f}",
        "peak memory (GB)": f"{mean([one['peak_memory_mb'] for one in mine]) / 1e3:.1f}",
        "prompt tokens added": f"{mean([one['added_prompt_tokens'] for one in mine]):.0f}",
        "time to the first token": f"{mean([one['first_token'] for one in mine]):.1f}x",
        "for each further": f"{mean([one['further_token'] for one in mine]):.1f}x",
        "weights that ship (MB)": f"{mean([one['weights_mb'] for one in mine]):.0f}",
        "cache of a prompt (MB)": f"{mean([one['kv_kb'] for one in mine]) / 1e3:.1f}",
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/alternatives.yaml")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--orders", nargs="+", choices=["forward", "reverse"], default=["forward", "reverse"])
    parser.add_argument("--rates", type=int, choices=[1, 3], default=3)
    options = parser.parse_args(argv)
    arms, rates = options.arms.split(","), options.results / RATES
    chosen = json.loads(rates.read_text()) if rates.exists() else {}
    if options.rates == 3:
        chosen = chosen_rates(options.recipe, options.folder, arms, chosen)
        rates.parent.mkdir(parents=True, exist_ok=True)
        rates.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    failed = []
    for order in options.orders:
        recipe = recipe_of(options.recipe, options.folder, order, {a: r for a, r in chosen.items() if a in arms})
        for arm in arms:
            if run_arms(recipe, [arm], options.seeds, options.folder / order, options.results / order):
                failed.append(f"{order}/{arm}")
        if not failed:  # the plan of all arms together, of which every run is there
            run_arms(recipe, arms, options.seeds, options.folder / order, options.results / order)
    if failed:
        raise SystemExit(f"not all runs of these arms are done: {', '.join(failed)}")
    write_between(options.page, BEGIN, END, tables(options.results, options.orders))


def run_arms(recipe: Path, arms: list[str], seeds: str, runs: Path, kept: Path) -> int:
    """Run what is missing of these arms, measure the bundles, keep what is committed; return the exit code."""
    fetch(kept, runs)
    if (kept / PLAN).exists() and not (runs / PLAN).exists():
        shutil.copyfile(kept / PLAN, runs / PLAN)
    code, peak = by_itself(
        "continual", str(recipe), "--arms", ",".join(arms), "--seeds", seeds, "--output_dir", str(runs)
    )
    if code < 0 or code >= 128:
        raise SystemExit(code)
    keep(runs, kept)
    for cell in sorted(done(runs)):
        if not (kept / cell / MEASURED).exists():
            found = {"machine": machine(), "versions": versions(), "peak_memory_mb": peak, **measured(runs / cell)}
            (kept / cell / MEASURED).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return code


def by_itself(*command: str) -> tuple[int, float]:
    """Run a command of fastslow in a process of its own; return its exit code and the most memory it held, in MB."""
    child = subprocess.Popen([sys.executable, "-m", "fastslow", *command])
    _, status, used = os.wait4(child.pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 1e3


if __name__ == "__main__":
    main()
