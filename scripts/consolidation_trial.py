"""Do contexts go into the weights while both learn: the quickstart in modes fst and consolidate, over seeds
(`make consolidation-trial`, half an hour a seed on two cores).

    python scripts/consolidation_trial.py FOLDER results/consolidation-trial.json docs/training.md [--seeds 1 2 3 4 5]
        [--rates 1 2 4]

`--rates` are values of `consolidation_rate`, each a row of its own.

Each bundle answers all held-out questions (validation and test) four times under its seed context and under its lead.
Runs that are finished are not made again, and those in the JSON file are neither made nor measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from itertools import product
from pathlib import Path
from typing import Any

from distill_trial import RECIPE, accuracy, done
from pages import write_between

from fastslow.bundles.bundle import Bundle, open_bundle
from fastslow.cli.train import quiet_libraries
from fastslow.files.run_directory import machine, versions
from fastslow.gate.general import bits_of, prose_pieces
from fastslow.gate.policy import Prose

MODES = ("fst", "consolidate")
BEGIN, END = "<!-- consolidation -->", "<!-- /consolidation -->"


def measured(folder: Path, mode: str, seed: int, rate: float) -> dict[str, Any]:
    """Return what the page says of a run, which is made or resumed where it is not there."""
    run = folder / (f"{mode}-s{seed}" if rate == 1 else f"{mode}-r{rate:g}-s{seed}")
    if not (run / "summary.json").exists():
        flags = ["--mode", mode, "--seed", str(seed), "--output_dir", str(run), "--eval_strategy", "no"]
        flags += ["--consolidation_rate", str(rate)] if rate != 1 else []
        begun = (run / "config.yaml").exists()
        done(*(["resume", str(run)] if begun else ["train", "--config", str(RECIPE), *flags]))
    summary, bundle = json.loads((run / "summary.json").read_text()), open_bundle(run)
    pieces = prose_pieces(Prose())
    with bundle.base() as base:
        before = sum(bits_of(Bundle(base, bundle.base, bundle.tokenizer, bundle.population, None, {}), pieces))
    return {
        "mode": mode,
        "rate": rate,
        "seed": seed,
        "plain": accuracy(bundle, bundle.population.seed),
        "lead": accuracy(bundle, bundle.population.lead),
        "prose_rise": sum(bits_of(bundle, pieces)) / before - 1,
        "kl_to_base": summary["kl_to_base"],
        "rollouts": summary["rollouts"],
        "machine": machine(),
        "versions": versions(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| mode | rate | seed | plain prompt | lead | prose, bits per byte | KL to base, plain and lead |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        kl = row["kl_to_base"]
        lines.append(
            f"| `{row['mode']}` | {rate_of(row):g} | {row['seed']} | {row['plain']:.2f} | "
            f"{row['lead']:.2f} | {row['prose_rise']:+.2%} | {kl['seed']:.2f}, {kl['lead']:.2f} |"
        )
    leads = {row["seed"]: row["lead"] for row in rows if row["mode"] == "fst"}
    ours = [row for row in rows if row["mode"] == "consolidate" and row["seed"] in leads]
    for rate in sorted({rate_of(row) for row in ours}):
        shares = [row["plain"] / leads[row["seed"]] for row in ours if rate_of(row) == rate]
        lines += [
            "",
            f"At {rate:g} times the learning rate, under the plain prompt, the consolidated weights have "
            f"{statistics.fmean(shares):.0%} of the accuracy that `fst` has under its lead, in the mean of "
            f"{len(shares)} seed(s), and {min(shares):.0%} at least.",
        ]
    return "\n".join(lines)


def rate_of(row: dict[str, Any]) -> float:
    return row.get("rate", 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    quiet_libraries()
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    for seed in options.seeds:
        for mode, multiple in product(options.modes, options.rates):
            rate = 1.0 if mode == "fst" else multiple  # fst has no such steps
            if not any((row["mode"], rate_of(row), row["seed"]) == (mode, rate, seed) for row in rows):
                rows.append(measured(options.folder, mode, seed, rate))
                rows.sort(key=lambda row: (row["seed"], MODES.index(row["mode"]), rate_of(row)))
                options.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))


if __name__ == "__main__":
    main()
