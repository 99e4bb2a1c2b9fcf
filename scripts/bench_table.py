"""Writes the tables of docs/performance.md from what `bench.py` measured.

python scripts/bench_table.py results/bench-cpu.json docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

TARGETS = {
    "all_dead": ("all groups dead, 32 rollouts", ">= 5x"),
    "fst_60_live": ("FST step: 4 contexts of 110 tokens, 64 rollouts, short answers, 60% of problems live", ">= 3x"),
    "fst_live": ("the same, every row live", ">= 2.5x"),
    "rl_short_60_live": ("plain RL, one short prompt, G = 8, 60% live", ">= 1.5x"),
    "rl_short_live": ("the same, every row live", ">= 1.0x"),
    "long_answers_live": ("long answers (192 to 256 tokens), every row live", ">= 1.0x"),
    "fst_60_live_kl": ("FST step with a KL term (beta 1e-3), 32 rollouts, 60% live", ">= 1.0x"),
    "generation": ("generation under 110-token contexts, against `model.generate`", ">= 2x"),
    "cycle": ("whole FST cycle per slow step, against a stock RL-only step with its generation", ">= 1.0x"),
}
MEMORY = {
    "fst_live": "FST step, 64 rollouts, every row live",
    "rl_short_live": "plain RL step, 64 rollouts, every row live",
}
GROWTH = {
    "context_twice_as_long": ("context twice as long", "<= 15%"),
    "contexts_4_to_8": ("8 contexts instead of 4 at equal rollouts", "<= 25%"),
}


def speed(report: dict[str, Any]) -> list[str]:
    lines = [
        "| case | stock / ours, median (range) | target | tokens padded | tokens computed |",
        "|---|---|---|---|---|",
    ]
    for name, (title, target) in TARGETS.items():
        if name not in report:
            continue
        case = report[name]
        counts = [f"{case[key]:,}" if key in case else "" for key in ("tokens_padded", "tokens_computed")]
        ratio = f"**{case['ratio']:.1f}x** ({case['ratio_min']:.1f} to {case['ratio_max']:.1f})"
        lines.append(f"| {title} | {ratio} | {target} | {counts[0]} | {counts[1]} |")
    return lines


def growth(report: dict[str, Any]) -> list[str]:
    lines = ["| change | our step grows by, median (range) | tokens grow by | target |", "|---|---|---|---|"]
    for name, (title, target) in GROWTH.items():
        if name not in report:
            continue
        case = report[name]
        grown = [f"{100 * (case[key] - 1):.0f}%" for key in ("growth", "growth_min", "growth_max")]
        tokens = f"{100 * (case['tokens_growth'] - 1):.0f}%"
        lines.append(f"| {title} | **{grown[0]}** ({grown[1]} to {grown[2]}) | {tokens} | {target} |")
    return lines


def memory(report: dict[str, Any]) -> list[str]:
    lines = ["| case | stock, GiB | ours, GiB |", "|---|---|---|"]
    for name, sides in report.get("memory", {}).items():
        lines.append(f"| {MEMORY[name]} | {sides['stock']:.1f} | {sides['ours']:.1f} |")
    return lines


def breakdown(report: dict[str, Any]) -> list[str]:
    parts = report.get("cycle", {}).get("breakdown_s_per_slow_step", {})
    names = list(dict.fromkeys(name for side in parts.values() for name in side))
    names = [*(n for n in names if n not in ("rest", "step")), "rest", "step"]
    lines = ["| seconds per slow step | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for side, spent in parts.items():
        lines.append(f"| {side} | " + " | ".join(f"{spent[n]:.2f}" if n in spent else "" for n in names) + " |")
    return lines


def layouts(report: dict[str, Any]) -> list[str]:
    lines = ["| attention weight | sequences x tokens | forward and backward, s |", "|---|---|---|"]
    for row in report.get("layouts", {}).get("rows", []):
        weight = f"1/{1 / row['weight']:.0f}" if row["weight"] else "0"
        lines.append(f"| {weight} | {row['sequences']} x {row['length']} | {row['seconds']:.2f} |")
    return lines


def arithmetic(report: dict[str, Any]) -> list[str]:
    use = report.get("utilisation")
    if not use:
        return []
    return [
        f"Forward and backward of the FST step with every row live run at {use['achieved_gflops']:.0f} GFLOP/s, "
        f"{100 * use['share']:.0f}% of the {use['matmul_gflops']:.0f} GFLOP/s that a plain matrix product of 2,048 "
        "rows reached in the same run ("
        + ", ".join(f"{name} {rate:.0f}" for name, rate in use["matmul_gflops_by_type"].items())
        + ")."
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    report = json.loads(options.report.read_text(encoding="utf-8"))
    machine = report["machine"]
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} cores"
    libraries = ", ".join(f"{name} {report['versions'][name]}" for name in ("torch", "transformers", "trl"))
    head = [f"Measured on: {where}, {machine['compute_type']}; {report['pairs']} pairs a case; {libraries}."]
    sections = [
        head,
        speed(report),
        growth(report),
        memory(report),
        breakdown(report),
        arithmetic(report),
        layouts(report),
    ]
    text = "\n\n".join(
        "\n".join(lines) for lines in sections if lines and len(lines) != 2
    )  # two lines are a head without rows
    page = options.page.read_text(encoding="utf-8")
    marker = f"<!-- {options.report.stem} -->"
    page = re.sub(f"{marker}.*?{marker}", lambda _: f"{marker}\n{text}\n{marker}", page, flags=re.DOTALL)
    options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
