"""Which way to adapt a model? Arms through the same three tasks, in both orders (`make alternatives`, hours).

    python scripts/alternatives.py FOLDER results/alternatives docs/alternatives.md [--arms fst,rl,sft]
        [--seeds 1 2 3] [--orders forward reverse] [--rates 1] [--jobs 2] [--recipe RECIPE]

First every arm that trains weights gets its learning rate: of three factors on its usual one, that with the best
accuracy after the first task alone, with seed 0, which no comparison uses. `--rates 1` takes the usual one. Then each
arm goes through the tasks by `fastslow continual`, and of its bundle is measured what no task asks for
(bundle_measures.py). Runs go `--jobs` at a time, each in a process of its own. What is finished is not run again:
FOLDER keeps runs and bundles; the results folder keeps what is committed, the light files of each run with its
measurements, so that seeds and arms may be added on other days and machines. The page shows all of them. A run with
another learning rate than that which was chosen since is made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from kept import MEASURED, PLAN, done, elsewhere, keep
from pages import write_between

from fastslow.experiments.arms import ARMS
from fastslow.files.run_directory import machine, versions
from fastslow.report.questions.compare import Arm, compare
from fastslow.report.questions.continual import at_the_end, intervals, measures_of_arm
from fastslow.report.reading.sources import load_sources

ROOT = Path(__file__).parents[1]
ORDERS = ["forward", "reverse"]
FACTORS = (0.3, 1.0, 3.0)
RATE_SEED = 0
ACROSS = ("stream", "labels", "clusters", "rehearsal_share", "adapter_stages")
"""Settings about the other tasks, or about which task it is: arms that differ in these alone share a learning rate."""
RATES = "rates.json"
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


def chosen_rates(options: argparse.Namespace, arms: list[str], known: dict[str, float]) -> dict[str, float]:
    """Return arm -> learning rate, by the accuracy after the first task alone; arms that train no weights have none."""
    recipe = yaml.safe_load(options.recipe.read_text(encoding="utf-8"))
    alone = {k: v for k, v in recipe.items() if k not in ("tasks", "stage_steps", "compare", "stream")}
    alone |= {"task": recipe["tasks"][0], "max_steps": recipe["stage_steps"], "save_bundle": False}
    folder = options.folder / "rates"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[float, Path]] = {}
    for arm in arms:
        own = on_one_task(arm)
        if arm in known or own["mode"] in ("prompt", "retrieval"):
            continue
        alike = next(name for name in ARMS if on_one_task(name) == own)
        found[arm] = {}
        for factor in FACTORS:
            rate = factor * ARMS[arm].rate * recipe["learning_rate"]
            run = found[arm][rate] = folder / f"{alike}-{factor:g}"
            file = Path(f"{run}.yaml")  # the name of the run has a dot
            file.write_text(yaml.safe_dump(alone | own | {"learning_rate": rate, "seed": RATE_SEED}))

    def try_out(run: Path) -> bool:
        shutil.rmtree(run, ignore_errors=True)  # broken off: it takes a minute
        return by_itself(run, options.jobs, "train", "--config", f"{run}.yaml", "--output_dir", str(run))[0] == 0

    runs = dict.fromkeys(run for of_arm in found.values() for run in of_arm.values())
    if side_by_side("learning rates", [run for run in runs if run.name not in done(folder)], try_out, options.jobs):
        raise SystemExit(f"not all learning rates were tried; the lines of each run are beside it in {folder}")
    for arm, of_arm in found.items():
        ends = {rate: json.loads((run / "summary.json").read_text()) for rate, run in of_arm.items()}
        known[arm] = max(ends, key=lambda rate: (ends[rate]["accuracy"][ends[rate]["ships"]], -rate))
    return known


def is_there(cell: Path, rate: float | None) -> bool:
    """Return whether a run was measured, and with the learning rate that was chosen, if one was."""
    if not (cell / MEASURED).exists():
        return False
    return rate is None or yaml.safe_load((cell / "config.yaml").read_text())["learning_rate"] == rate


def run_cell(options: argparse.Namespace, recipe: Path, kept: Path, arm: str, seed: int) -> bool:
    """Run an arm with one seed, measure its bundle, and keep what is committed; return whether that went well."""
    name = f"{arm}-s{seed}"
    folder = recipe.with_suffix("") / name
    if (kept / name / MEASURED).exists():
        shutil.rmtree(folder, ignore_errors=True)  # with another learning rate
    folder.mkdir(parents=True, exist_ok=True)
    before = name in done(folder)  # trained and not measured yet
    ceiling = ARMS[arm].settings.get("stream") == "mixture"  # has no stages
    code, peak = by_itself(
        folder / "run", options.jobs,
        "compare" if ceiling else "continual", str(recipe), "--arms", arm, "--seeds", f"{seed},",
        "--output_dir", str(folder),
    )  # fmt: skip
    if code:
        return False
    out = folder / MEASURED
    with (folder / "measures.log").open("w") as log:
        command = [sys.executable, str(ROOT / "scripts/bundle_measures.py"), str(folder / name), str(out)]
        if subprocess.run(command, env=threads(options.jobs), stdout=log, stderr=log, check=False).returncode:
            return False
    (cell,) = json.loads((folder / PLAN).read_text())["cells"]
    keep(folder, kept, plan=False)
    found = {"machine": machine(), "versions": versions(), "peak_memory_mb": None if before else peak, "cell": cell}
    (kept / name / MEASURED).write_text(json.dumps(found | json.loads(out.read_text()), indent=1) + "\n")
    return True


def by_itself(log: Path, jobs: int, *command: str) -> tuple[int, float]:
    """Run a command of fastslow in a process of its own, its lines going to `log`.log; return its exit code and the
    most memory that it held, in MB."""
    with Path(f"{log}.log").open("w") as lines:
        child = subprocess.Popen(
            [sys.executable, "-m", "fastslow", *command], env=threads(jobs), stdout=lines, stderr=lines
        )
        _, status, used = os.wait4(child.pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 1e3


def threads(jobs: int) -> dict[str, str]:
    """Return an environment in which `jobs` processes share the cores, and generators ask the same in all."""
    return {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs)), "PYTHONHASHSEED": "0"}


def side_by_side(what: str, items: Sequence[Any], act: Callable[[Any], bool], jobs: int) -> list[Any]:
    """Do what is to be done, `jobs` at a time, and tell how long the rest will take; return what failed."""
    started, failed = time.monotonic(), []

    def settle(item: Any) -> tuple[Any, bool]:
        return item, act(item)

    with ThreadPoolExecutor(jobs) as pool:
        for number, (item, well) in enumerate(pool.map(settle, items), start=1):
            left = timedelta(seconds=round((time.monotonic() - started) / number * (len(items) - number)))
            print(
                f"{what}: {number} of {len(items)}, {item} {'done' if well else 'FAILED'}, about {left} left",
                flush=True,
            )
            failed += [] if well else [item]
    return failed


def plan_of(kept: Path, recipe: str) -> None:
    """Write the plan of all runs that the results folder holds, in the order of the arms."""
    order = list(ARMS)
    cells = [json.loads(file.read_text())["cell"] for file in kept.glob(f"*/{MEASURED}")]
    if not cells:
        return
    cells.sort(key=lambda cell: (order.index(cell["arm"]), cell["seed"]))
    named = [cell["arm"] for cell in cells]
    plan = {
        "kind": "continual", "recipe": recipe, "reference": "rl" if "rl" in named else named[0], "cells": cells,
    }  # fmt: skip
    (kept / PLAN).write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")


def tables(results: Path) -> str:
    """Return two tables for each order that was run: what is learned and kept, and what it costs."""
    parts = []
    for order in (order for order in ORDERS if (results / order / PLAN).exists()):
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

    return {
        "arm": f"`{arm.label}`",
        "seeds": f"{len(arm.runs)}",
        "asks for the task": TASK_IS.get(ARMS[arm.label].settings.get("clusters", ""), "no"),
        "average accuracy": within(average, sure),
        "forgotten since peak": of("forgetting_since_peak"),
        "backward transfer": of("backward_transfer"),
        "forward transfer": of("forward_transfer"),
        **elsewhere(mine),
        "rollouts": f"{mean([one['rollouts']['slow'] + one['rollouts']['fast'] for one in summaries]):,.0f}",
        "trained tokens": f"{mean([one['trained']['tokens'] for one in summaries]):,.0f}",
        "minutes of training": f"{mean([trained(one) for one in summaries]) / 60:.1f}",
        "peak memory (GB)": f"{mean([one['peak_memory_mb'] for one in mine]) / 1e3:.1f}".replace("nan", "n/a"),
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=ORDERS)
    parser.add_argument("--rates", type=int, choices=[1, 3], default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    arms, rates = options.arms.split(","), options.results / RATES
    if unknown := sorted(set(arms) - set(ARMS)):
        parser.error(f"unknown arms: {', '.join(unknown)}; there are {', '.join(ARMS)}")
    chosen = json.loads(rates.read_text()) if rates.exists() else {}
    if options.rates == 3:
        chosen = chosen_rates(options, arms, chosen)
        rates.parent.mkdir(parents=True, exist_ok=True)
        rates.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    failed = []
    for order in options.orders:
        recipe, kept = recipe_of(options.recipe, options.folder, order, chosen), options.results / order
        asked = [(arm, seed) for seed in options.seeds for arm in arms]
        cells = [(arm, seed) for arm, seed in asked if not is_there(kept / f"{arm}-s{seed}", chosen.get(arm))]
        failed += side_by_side(
            order, cells, lambda cell, own=(recipe, kept): run_cell(options, *own, *cell), options.jobs
        )
        plan_of(kept, os.path.relpath(options.recipe, ROOT))
    write_between(options.page, BEGIN, END, tables(options.results))
    if failed:
        raise SystemExit(f"not all runs are done: {failed}; their lines are in run.log beside each")


if __name__ == "__main__":
    main()
