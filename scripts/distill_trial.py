"""Do contexts fit into the weights: the quickstart over seeds, each bundle distilled (`make distill-trial`, an hour or
two on one core).

    python scripts/distill_trial.py FOLDER results/distill-trial.json docs/training.md [--seeds 1 2 3 4 5]

Parent under seed context and lead, and what was distilled under the seed context, answer all held-out questions
(validation and test) four times each. Runs and distillations that are finished are not made again, and those in the
JSON file are not measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from pages import write_between

from fastslow.bundles.bundle import Bundle, open_bundle, open_task
from fastslow.cli.main import main as fastslow
from fastslow.cli.train import quiet_libraries
from fastslow.contexts.context import Context
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.evaluation.bundle import bundle_policy
from fastslow.files.run_directory import machine, versions
from fastslow.policy.engines.base import SamplingParams

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/quickstart.yaml"
SEEDS = (1, 2, 3, 4, 5)
SAMPLES = 4
STEPS = 50
"""SmolLM2 has learned after some 15 steps of 16 questions; the rest of the schedule only settles."""
BEGIN, END = "<!-- distill-trial -->", "<!-- /distill-trial -->"


def done(*command: str) -> None:
    """Run a command. Raises SystemExit where it fails."""
    code = fastslow(list(command))
    if code:
        raise SystemExit(f"fastslow {' '.join(command)} ended with {code}")


def trained(folder: Path, seed: int) -> Path:
    """Return the finished run of this seed; one that was broken off is resumed."""
    run = folder / f"quickstart-s{seed}"
    if not (run / "summary.json").exists():
        flags = ["--seed", str(seed), "--output_dir", str(run), "--eval_strategy", "no"]
        again = (run / "config.yaml").exists()
        done(*(["resume", str(run)] if again else ["train", "--config", str(RECIPE), *flags]))
    return run


def distilled(run: Path, seed: int, kind: str, flags: list[str]) -> Path:
    """Return the run's bundle, distilled."""
    output = run.with_name(f"{run.name}-{kind}")
    if not output.exists():
        done(
            "distill",
            str(run),
            "--output",
            str(output),
            "--contexts",
            kind,
            "--seed",
            str(seed),
            "--steps",
            str(STEPS),
            *flags,
        )
    return output


def accuracy(bundle: Bundle, context: Context) -> float:
    """Return the share of right answers to all held-out questions."""
    settings = bundle.settings
    task = open_task(settings["task"], settings, trusted=False)
    params = SamplingParams(
        max_new_tokens=settings["max_completion_length"], temperature=settings["eval_temperature"],
        top_p=settings["eval_top_p"],
    )  # fmt: skip
    policy = bundle_policy(bundle, bundle.model, task, params, getattr(torch, settings["dtype"]))
    policy.refresh(0)
    examples = [*task.split("validation"), *task.split("test")]
    answers = answer_examples(policy, context, examples, Sampling(params, SAMPLES, 1))
    return accuracy_of(answers, SAMPLES).accuracy or 0.0


def measured(run: Path, output: Path) -> dict[str, Any]:
    """Return what a page says of one distillation."""
    parent, child = open_bundle(run), open_bundle(output)
    summary = json.loads((output / "summary.json").read_text())
    return {
        "seed_before": accuracy(parent, parent.population.seed),
        "lead_before": accuracy(parent, parent.population.lead),
        "seed_after": accuracy(child, child.population.seed),
        **{
            name: summary[name] for name in ("prose_bits_per_byte", "kl_to_base", "prompt_tokens", "training_questions")
        },
        "distilled": {k: v for k, v in summary["distilled"].items() if k != "parent"},
        "wall_s": summary["wall_s"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| teacher | seed | seed context before | lead before | seed context after | of the lead's | prose, bits per "
        "byte | KL to base, before and after | prompt tokens saved |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        prose, kl, share = row["prose_bits_per_byte"], row["kl_to_base"], row["seed_after"] / row["lead_before"]
        cells = (
            f"`{row['contexts']}`", str(row["seed"]), f"{row['seed_before']:.2f}", f"{row['lead_before']:.2f}",
            f"{row['seed_after']:.2f}", f"{share:.0%}", f"{prose['rise']:+.2%}",
            f"{kl['before']['seed']:.3f}, {kl['after']['seed']:.3f}", f"{row['prompt_tokens']['saved']:.0f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    shares = [row["seed_after"] / row["lead_before"] for row in rows]
    rises = [row["prose_bits_per_byte"]["rise"] for row in rows]
    if len(rows) == 1:
        said = f"{shares[0]:.0%}, in this one seed; prose changes by {rises[0]:+.2%}."
    else:
        said = f"{statistics.fmean(shares):.0%} in the mean of {len(rows)} seeds and {min(shares):.0%} at least; "
        said += f"prose changes by {min(rises):+.2%} to {max(rises):+.2%}."
    return "\n".join([*lines, "", f"Of the lead's accuracy the weights alone keep {said}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--contexts", nargs="+", default=["lead"])
    options, flags = parser.parse_known_args()
    quiet_libraries()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.results.read_text())["runs"] if options.results.exists() else []
    for seed in options.seeds:
        for kind in options.contexts:
            if any((row["contexts"], row["seed"]) == (kind, seed) for row in rows):
                continue
            run = trained(options.folder, seed)
            row = {"contexts": kind, "seed": seed, **measured(run, distilled(run, seed, kind, flags))}
            rows.append(row)
            print(f"{kind}, seed {seed}: {row['lead_before']:.3f} -> {row['seed_after']:.3f}", flush=True)
            made = {"machine": machine(), "versions": versions(), "runs": rows}
            options.results.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
