"""Do contexts go into the weights while both learn: the quickstart in modes fst and consolidate, over seeds
(`make consolidation-trial`, half an hour a seed on two cores).

    python scripts/consolidation_trial.py FOLDER results/consolidation-trial.json docs/training.md [--seeds 1 2 3 4 5]

Each bundle answers all held-out questions (validation and test) four times under its seed context and under its lead.
Runs that are finished are not made again, and those in the JSON file are neither made nor measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
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


def measured(folder: Path, mode: str, seed: int) -> dict[str, Any]:
    """Return what the page says of a run, which is made or resumed where it is not there."""
    run = folder / f"{mode}-s{seed}"
    if not (run / "summary.json").exists():
        flags = ["--mode", mode, "--seed", str(seed), "--output_dir", str(run), "--eval_strategy", "no"]
        begun = (run / "config.yaml").exists()
        done(*(["resume", str(run)] if begun else ["train", "--config", str(RECIPE), *flags]))
    summary, bundle = json.loads((run / "summary.json").read_text()), open_bundle(run)
    pieces = prose_pieces(Prose())
    with bundle.base() as base:
        before = sum(bits_of(Bundle(base, bundle.base, bundle.tokenizer, bundle.population, None, {}), pieces))
    return {
        "mode": mode,
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
        "| mode | seed | plain prompt | lead | prose, bits per byte | KL to base, plain and lead |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        kl = row["kl_to_base"]
        lines.append(
            f"| `{row['mode']}` | {row['seed']} | {row['plain']:.2f} | {row['lead']:.2f} | {row['prose_rise']:+.2%} | "
            f"{kl['seed']:.2f}, {kl['lead']:.2f} |"
        )
    by_seed = {mode: {row["seed"]: row for row in rows if row["mode"] == mode} for mode in MODES}
    pairs = [
        (by_seed["consolidate"][seed], by_seed["fst"][seed])
        for seed in by_seed["fst"]
        if seed in by_seed["consolidate"]
    ]
    shares = [ours["plain"] / theirs["lead"] for ours, theirs in pairs]
    lines += (
        []
        if not pairs
        else [
            "",
            f"Under the plain prompt the consolidated weights have {statistics.fmean(shares):.0%} of the accuracy that "
            f"`fst` has under its lead, in the mean of {len(pairs)} seed(s), and {min(shares):.0%} at least.",
        ]
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    options = parser.parse_args()
    quiet_libraries()
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    for seed in options.seeds:
        for mode in options.modes:
            if not any((row["mode"], row["seed"]) == (mode, seed) for row in rows):
                rows.append(measured(options.folder, mode, seed))
                rows.sort(key=lambda row: (row["seed"], MODES.index(row["mode"])))
                options.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))


if __name__ == "__main__":
    main()
