"""Which way to adapt a model? Arms through the same three tasks, in both orders (`make alternatives`, hours).

    python scripts/alternatives.py FOLDER results/alternatives.json docs/alternatives.md [--arms fst,rl,sft]
        [--seeds 5] [--orders forward reverse] [--recipe RECIPE] [--rates 1]

First every arm that trains weights gets its learning rate: of three factors on its usual one, that with the best
accuracy after the first task alone, with seed 0, which no comparison uses. `--rates 1` takes the usual one. Then
`fastslow continual` runs the arms; what is finished is not run again. Of every bundle is measured what no task asks
for: bits per byte of prose, and what a request costs (prompt tokens, seconds to the first token and for each further
one, one request at a time). FOLDER keeps runs and the reports of each order.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import yaml
from pages import write_between

from fastslow.bundles.bundle import Bundle, open_bundle, open_task, tasks_of
from fastslow.cli.main import main as fastslow
from fastslow.costs.shape import shape_of
from fastslow.evaluation.bundle import bundle_policy
from fastslow.experiments.arms import ARMS
from fastslow.files.run_directory import machine, versions
from fastslow.gate.general import bits_of, prose_pieces
from fastslow.gate.policy import Prose
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.policy import Job
from fastslow.report.questions.compare import Arm, compare
from fastslow.report.questions.continual import at_the_end, intervals, measures_of_arm
from fastslow.report.reading.sources import load_sources

ROOT = Path(__file__).parents[1]
FACTORS = (0.3, 1.0, 3.0)
RATE_SEED = 0
REQUESTS = 30
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


def chosen_rates(base: Path, folder: Path, arms: list[str], known: dict[str, float]) -> dict[str, float]:
    """Return arm -> learning rate, by the accuracy after the first task alone; arms that train no weights have none."""
    recipe = yaml.safe_load(base.read_text(encoding="utf-8"))
    alone = {k: v for k, v in recipe.items() if k not in ("tasks", "stage_steps", "compare", "stream")}
    alone |= {"task": recipe["tasks"][0], "max_steps": recipe["stage_steps"], "save_bundle": False}
    for arm in arms:
        settings = dict(ARMS[arm].settings)
        if arm in known or settings.get("mode") in ("prompt", "retrieval"):
            continue
        found = {}
        for factor in FACTORS:
            rate = factor * ARMS[arm].rate * recipe["learning_rate"]
            run = folder / "rates" / f"{arm}-{factor:g}"
            file = run.with_suffix(".yaml")
            file.parent.mkdir(parents=True, exist_ok=True)
            own = {name: value for name, value in settings.items() if name != "stream"}  # there is one task
            file.write_text(yaml.safe_dump(alone | own | {"learning_rate": rate, "seed": RATE_SEED}))
            if not (run / "summary.json").exists() and fastslow(
                ["train", "--config", str(file), "--output_dir", str(run)]
            ):
                raise SystemExit(f"the run {run} failed")
            summary = json.loads((run / "summary.json").read_text())
            found[rate] = summary["accuracy"][summary["ships"]]
        known[arm] = max(found, key=lambda rate: (found[rate], -rate))
    return known


def measured(run: Path) -> dict[str, Any]:
    """Return what a bundle costs a request, and what it does to prose."""
    summary = json.loads((run / "summary.json").read_text())
    bundle = open_bundle(run / "bundle", choosing=summary["ships"] in ("cluster", "retrieved"))
    pieces = prose_pieces(Prose())
    with bundle.base() as base:
        before = sum(bits_of(Bundle(base, bundle.base, bundle.tokenizer, bundle.population, None, {}), pieces))
    after, size = sum(bits_of(bundle, pieces)), sum(len(piece.encode()) for piece in pieces)
    kinds = summary["prompt_tokens"]
    prompt = kinds[summary["ships"]]
    files = (run / "bundle").glob("*.safetensors")
    return {
        "bits_per_byte": after / size, "base_bits_per_byte": before / size,
        "added_prompt_tokens": prompt - kinds["seed"], "weights_mb": sum(file.stat().st_size for file in files) / 1e6,
        "kv_kb": prompt * shape_of(bundle.model).kv_bytes / 1e3, **latency(bundle, summary["ships"]),
    }  # fmt: skip


def latency(bundle: Bundle, kind: str) -> dict[str, float]:
    """Return the median seconds to the first token of an answer and for each further one, one request at a time."""
    settings = bundle.settings
    task = open_task(tasks_of(settings)[0], settings, trusted=True)
    examples, dtype = task.split("validation"), next(bundle.model.parameters()).dtype
    first, further = [], []
    for most, into in ((1, first), (int(settings["max_completion_length"]), further)):
        policy = bundle_policy(bundle, bundle.model, task, SamplingParams(max_new_tokens=most, temperature=0.0), dtype)
        policy.refresh(0)
        for number in range(REQUESTS + 2):
            example = examples[number % len(examples)]
            context = bundle.population.lead
            if kind == "seed":
                context = bundle.population.seed
            elif bundle.topics is not None:
                context = bundle.topics.choose(kind, bundle.population, example)
            policy.begin_step(0)
            started = time.perf_counter()
            (rollout,) = policy.rollouts([Job(context, example, number)])
            if number >= 2:  # the first two warm up
                into.append((time.perf_counter() - started, len(rollout.completion_ids)))
    start = statistics.median(seconds for seconds, _ in first)
    each = [(seconds - start) / (tokens - 1) for seconds, tokens in further if tokens > 1]
    return {"first_token_s": start, "further_token_s": statistics.median(each) if each else 0.0}


def table(folder: Path, orders: list[str], cells: dict[str, dict[str, Any]]) -> str:
    """Return one table for each order that was run."""
    parts = []
    for order in orders:
        (comparison,) = compare(*load_sources([folder / order]))
        head = (
            "| arm | seeds | average accuracy | forgotten since peak | bits per byte of prose, rise | "
            "prompt tokens added | first token | each further token | trained tokens | rollouts | minutes |"
        )
        rows = [head, "|---" * 11 + "|"]
        rows += [_row(order, arm, cells) for arm in comparison.arms]
        parts.append("\n".join([f"Tasks in {order} order:", "", *rows]))
    return "\n\n".join(parts)


def _row(order: str, arm: Arm, cells: dict[str, dict[str, Any]]) -> str:
    mine = [cells[f"{order}/{run.path.name}"] for run in arm.runs if f"{order}/{run.path.name}" in cells]
    average, sure = at_the_end(arm)
    measures, known = measures_of_arm(arm), intervals(arm)
    summaries = [run.summary for run in arm.runs]

    def mean(values: list[float]) -> float:
        return statistics.fmean(values) if values else float("nan")

    def within(value: float | None, interval: tuple[float, float] | None) -> str:
        if value is None:
            return "n/a"
        return f"{value:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")

    forgotten = measures.forgetting_since_peak if measures is not None else None
    rise = mean([one["bits_per_byte"] / one["base_bits_per_byte"] - 1 for one in mine])
    return (
        f"| {arm.label} | {len(arm.runs)} | {within(average, sure)} | "
        f"{within(forgotten, known.get('forgetting_since_peak'))} | {rise:+.2%} | "
        f"{mean([one['added_prompt_tokens'] for one in mine]):.0f} | "
        f"{1000 * mean([one['first_token_s'] for one in mine]):.0f} ms | "
        f"{1000 * mean([one['further_token_s'] for one in mine]):.0f} ms | "
        f"{mean([one['trained']['tokens'] for one in summaries]):,.0f} | "
        f"{mean([one['rollouts']['slow'] + one['rollouts']['fast'] for one in summaries]):,.0f} | "
        f"{mean([one['wall_s']['total'] / 60 for one in summaries]):.1f} |"
    )


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
    arms = options.arms.split(",")
    kept = json.loads(options.results.read_text()) if options.results.exists() else {"rates": {}, "cells": {}}
    if options.rates == 3:
        kept["rates"] = chosen_rates(options.recipe, options.folder, arms, kept["rates"])
    for order in options.orders:
        file = recipe_of(options.recipe, options.folder, order, {a: r for a, r in kept["rates"].items() if a in arms})
        out = options.folder / order
        code = fastslow(
            ["continual", str(file), "--arms", options.arms, "--seeds", options.seeds, "--output_dir", str(out)]
        )
        if code:
            raise SystemExit(f"{out}: some arms failed ({code})")
        for summary in sorted(out.glob("*/summary.json")):
            name = f"{order}/{summary.parent.name}"
            if name not in kept["cells"]:
                kept["cells"][name] = measured(summary.parent)
                found = {"machine": machine(), "versions": versions(), **kept}
                options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(options.folder, options.orders, kept["cells"]))


if __name__ == "__main__":
    main()
