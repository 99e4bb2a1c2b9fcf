"""Which way to adapt a model? Arms through the same three tasks, in both orders (`make alternatives`, hours).

    python scripts/alternatives.py FOLDER results/alternatives docs/alternatives.md [--arms fst,rl,sft]
        [--seeds 5] [--orders forward reverse] [--recipe RECIPE] [--rates 1]

First every arm that trains weights gets its learning rate: of three factors on its usual one, that with the best
accuracy after the first task alone, with seed 0, which no comparison uses. `--rates 1` takes the usual one. Then
`fastslow continual` runs the arms; what is finished is not run again. Of every bundle is measured what no task asks
for: bits per byte of prose, and what a request costs beside one under the plain prompt (prompt tokens, time to the
first token and for each further one). FOLDER keeps runs and bundles; the results folder keeps what is committed: the
light files of each run with its measurements, so that seeds and arms may be added on other days and machines.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import yaml
from kept import PLAN, done, fetch, keep
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
from fastslow.policy.policy import Job, Policy
from fastslow.report.questions.compare import Arm, compare
from fastslow.report.questions.continual import at_the_end, intervals, measures_of_arm
from fastslow.report.reading.sources import load_sources

ROOT = Path(__file__).parents[1]
FACTORS = (0.3, 1.0, 3.0)
RATE_SEED = 0
ACROSS = ("stream", "labels", "clusters", "rehearsal_share", "adapter_stages")
"""Settings about the other tasks, or about which task it is: arms that differ in these alone share a learning rate."""
REQUESTS = 30
RATES, MEASURED = "rates.json", "measured.json"
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
    """Return how many times longer a request takes under what ships than under the plain prompt: to the first token of
    an answer, and for each further one. Both are asked in turn, one request at a time, so that other work on the
    machine strikes both; medians over the requests."""
    if kind == "seed":
        return {"first_token": 1.0, "further_token": 1.0}
    settings = bundle.settings
    task = open_task(tasks_of(settings)[0], settings, trusted=True)
    examples, dtype = task.split("validation"), next(bundle.model.parameters()).dtype
    most = int(settings["max_completion_length"])
    short, whole = (
        bundle_policy(bundle, bundle.model, task, SamplingParams(max_new_tokens=n, temperature=0.0), dtype)
        for n in (1, most)
    )
    first: list[float] = []
    further: list[float] = []
    for number in range(REQUESTS + 2):  # the first two warm up
        example = examples[number % len(examples)]
        context = bundle.population.lead
        if bundle.topics is not None:
            context = bundle.topics.choose(kind, bundle.population, example)
        start, each = [], []
        for one in (context, bundle.population.seed):
            (begun, _), (ended, tokens) = (_timed(p, Job(one, example, number)) for p in (short, whole))
            start.append(begun)
            each.append((ended - begun) / (tokens - 1) if tokens > 1 else None)
        if number >= 2:
            first.append(start[0] / start[1])
            further += [each[0] / each[1]] if each[0] and each[1] else []
    return {
        "first_token": statistics.median(first), "further_token": statistics.median(further) if further else 1.0,
    }  # fmt: skip


def _timed(policy: Policy, job: Job) -> tuple[float, int]:
    """Return the seconds of an answer to a prompt that no cache knows, and its tokens."""
    policy.begin_step(0)
    started = time.perf_counter()
    (rollout,) = policy.rollouts([job])
    return time.perf_counter() - started, len(rollout.completion_ids)


def tables(results: Path, orders: list[str]) -> str:
    """Return one table for each order that was run."""
    parts = []
    for order in orders:
        (comparison,) = compare(*load_sources([results / order]))
        head = (
            "| arm | seeds | average accuracy | forgotten since peak | bits per byte of prose, rise | "
            "prompt tokens added | time to the first token | for each further | trained tokens | rollouts |"
        )
        rows = [head, "|---" * 10 + "|"]
        rows += [_row(arm) for arm in comparison.arms]
        parts.append("\n".join([f"Tasks in {order} order:", "", *rows]))
    return "\n\n".join(parts)


def _row(arm: Arm) -> str:
    mine = [json.loads((run.path / MEASURED).read_text()) for run in arm.runs]
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
        f"{mean([one['first_token'] for one in mine]):.1f}x | "
        f"{mean([one['further_token'] for one in mine]):.1f}x | "
        f"{mean([one['trained']['tokens'] for one in summaries]):,.0f} | "
        f"{mean([one['rollouts']['slow'] + one['rollouts']['fast'] for one in summaries]):,.0f} |"
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
    code = fastslow(["continual", str(recipe), "--arms", ",".join(arms), "--seeds", seeds, "--output_dir", str(runs)])
    if code >= 128:
        raise SystemExit(code)
    keep(runs, kept)
    for cell in sorted(done(runs)):
        if not (kept / cell / MEASURED).exists():
            found = {"machine": machine(), "versions": versions(), **measured(runs / cell)}
            (kept / cell / MEASURED).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    main()
