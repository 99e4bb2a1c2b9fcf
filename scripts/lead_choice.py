"""How good is what ships: the quickstart over seeds, its lead chosen by the anchor set or by all evidence, its slots
dealt evenly or by evidence (`make lead-choice`, some two hours on two idle cores).

    python scripts/lead_choice.py FOLDER results/lead-choice.json docs/evidence.md [--seeds 1 2 3 4 5] [--arms paper]

Every member of each final population answers all held-out questions (validation and test) eight times: four to find
the best member, four to measure. The regret of a choice is how far the chosen one lies below that best. In the arm
`paper`, what the book of evidence would have chosen is compared within the same run. Runs that are finished are not
trained again, and those in the JSON file are not measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from pages import write_between

from fastslow.bundles.bundle import open_bundle
from fastslow.cli.main import main as fastslow
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.evaluation.bundle import bundle_policy
from fastslow.files.run_directory import machine, versions
from fastslow.policy.engines.base import SamplingParams
from fastslow.tasks.resolve import resolve_task

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/quickstart.yaml"
ARMS = {
    "paper": ("--lead", "anchor", "--slots", "even"),
    "evidence": ("--lead", "evidence", "--slots", "even"),
    "adaptive": ("--lead", "evidence", "--slots", "adaptive"),
    "earned": ("--lead", "evidence", "--slots", "earned"),
}
SEEDS = (1, 2, 3, 4, 5)
SAMPLES = 4
BEGIN, END = "<!-- lead-choice -->", "<!-- /lead-choice -->"


def trained(folder: Path, arm: str, seed: int, recipe: Path) -> Path:
    """Return the finished run of this arm and seed; one that was broken off is resumed."""
    run = folder / f"{arm}-s{seed}"
    summary = run / "summary.json"
    if not summary.exists():
        flags = ["--seed", str(seed), "--output_dir", str(run), "--eval_strategy", "no", *ARMS[arm]]
        again = (run / "config.yaml").exists()
        code = fastslow(["resume", str(run)] if again else ["train", "--config", str(recipe), *flags])
        if code:
            raise SystemExit(f"the run {run} ended with {code}")
    return run


def measured(run: Path) -> dict[str, Any]:
    """Return the accuracy of every member on all held-out questions, and what each way of choosing chooses."""
    bundle, summary = open_bundle(run / "bundle"), json.loads((run / "summary.json").read_text())
    settings = bundle.settings
    sizes = {name: int(settings[name]) for name in ("train_size", "validation_size", "test_size")}
    task = resolve_task(str(settings["task"]), **sizes, data_seed=int(settings["data_seed"]))
    examples = [*task.split("validation"), *task.split("test")]
    params = SamplingParams(
        max_new_tokens=int(settings["max_completion_length"]), temperature=float(settings["eval_temperature"]),
        top_p=float(settings["eval_top_p"]),
    )  # fmt: skip
    policy = bundle_policy(bundle, bundle.model, task, params, getattr(torch, settings["dtype"]))
    policy.refresh(0)
    halves: list[dict[str, float]] = [{}, {}]
    for context in bundle.population.members:
        for seed, half in enumerate(halves, start=1):
            answers = answer_examples(policy, context, examples, Sampling(params, SAMPLES, seed))
            half[context.id] = accuracy_of(answers, SAMPLES).accuracy or 0.0
    # The best is chosen by one half of the answers and measured by the other: the best of noisy numbers looks too good.
    accuracies, standings = halves[1], summary["standings"]
    best = accuracies[max(halves[0], key=halves[0].__getitem__)]
    shipped, by_book = accuracies[bundle.population.lead.id], accuracies[standings[0]["context_id"]]
    return {
        "questions": len(examples), "accuracies": accuracies, "shipped": shipped, "best": best,
        "regret": best - shipped, "regret_by_book": best - by_book,
        "rollouts": summary["rollouts"], "wall_s": summary["wall_s"]["total"], "kl": summary["kl_to_base"]["lead"],
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| arm | seeds | what ships, each seed | mean | worst | its regret, mean and worst | regret of the book's "
        "choice | charged rollouts | KL |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        some = [row for row in rows if row["arm"] == arm]
        if not some:
            continue
        shipped, regret = [row["shipped"] for row in some], [row["regret"] for row in some]
        by_book = [row["regret_by_book"] for row in some]
        charged = statistics.fmean(row["rollouts"]["slow"] + row["rollouts"]["fast"] for row in some)
        kl = statistics.fmean(row["kl"] for row in some)
        cells = (
            f"`{arm}`", str(len(some)), ", ".join(f"{one:.2f}" for one in shipped), f"{statistics.fmean(shipped):.3f}",
            f"{min(shipped):.2f}", f"{statistics.fmean(regret):.3f}, {max(regret):.3f}",
            f"{statistics.fmean(by_book):.3f}, {max(by_book):.3f}", f"{charged:.0f}", f"{kl:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=list(ARMS))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.results.read_text())["runs"] if options.results.exists() else []
    for seed in options.seeds:
        for arm in options.arms:
            if any((row["arm"], row["seed"]) == (arm, seed) for row in rows):
                continue
            found = measured(trained(options.folder, arm, seed, options.recipe))
            rows.append({"arm": arm, "seed": seed, **found})
            print(f"{arm}, seed {seed}: ships {found['shipped']:.3f}, best {found['best']:.3f}", flush=True)
            made = {"machine": machine(), "versions": versions(), "runs": rows}
            options.results.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
