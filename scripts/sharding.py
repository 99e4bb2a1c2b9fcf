"""How far runs of shares are from runs of whole copies, and what a process holds of them.

    python scripts/sharding.py results/sharding.json docs/sharding.md       some two minutes on two idle cores

With `--folder` runs are kept there, and those that are finished are not run again; `--cases` leaves out others.

Two gloo processes on the CPU train a tiny model: with two fast phases, answers of different lengths, a KL term and a
step that trains nothing; on padded rows; and with adapters. accelerate is made to shard on a CPU as the tests do.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.sharded_runs import CASES, differences, launch, plan, same_course, seen  # noqa: E402

from fastslow.files.run_directory import machine, versions  # noqa: E402

WORDS = {"whole": "all weights, token trees, KL term, an empty step", "padded": "all weights, padded rows",
         "lora": "LoRA, token trees, KL term", "adam": "all weights, AdamW"}  # fmt: skip
BEGIN, END = "<!-- measured: scripts/sharding.py -->", "<!-- end -->"


def measure(folder: Path, cases: list[str]) -> dict[str, Any]:
    """Run what is not there yet, and compare every run of shares with that of whole copies."""
    kinds = ["FSDP2"] + (["ZeRO-2"] if importlib.util.find_spec("deepspeed") else [])
    for kind in ("DDP", *kinds):
        runs = [run for run in plan(folder, [kind], cases) if not (folder / f"{run['name']}-1.json").exists()]
        if runs:
            launch(folder, runs)
    rows = []
    for case in cases:
        for kind in kinds:
            one, other = f"{case}-DDP", f"{case}-{kind}"
            ranks = [seen(folder, other, rank) for rank in (0, 1)]
            assert {rank["kind"] for rank in ranks} == {kind}, "sharding was not active"
            rows.append({
                "case": case, "sharding": kind, "steps": len(ranks[0]["losses"]),
                "max_difference_to_ddp": differences(folder, one, other),
                "same_contexts_routes_rewards_lengths": same_course(folder, one, other),
                "empty_step_bit_for_bit": [rank["still"] for rank in ranks] if case == "whole" else None,
                "bytes_held": [rank["bytes"] for rank in ranks],
                "bytes_held_by_ddp": seen(folder, one)["bytes"],
            })  # fmt: skip
    return {"processes": 2, "backend": "gloo", "machine": machine(), "versions": versions(), "runs": rows}


def table(found: dict[str, Any]) -> str:
    lines = [
        f"Two gloo processes of one thread, a Llama of two small layers, {found['machine']['cpu']}; the largest",
        "difference to whole copies over all steps and evaluations. Contexts, routes, rewards and lengths of answers",
        "were the same everywhere.",
        "",
        "| run | sharding | loss | weights at the end | KL (nats) | weights and moments that a process holds |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in found["runs"]:
        assert row["same_contexts_routes_rewards_lengths"]
        apart = row["max_difference_to_ddp"]
        shares = [sum(held.values()) / sum(row["bytes_held_by_ddp"].values()) for held in row["bytes_held"]]
        held = " and ".join(f"{share:.2f}" for share in shares)
        lines.append(
            f"| {WORDS[row['case']]}, {row['steps']} steps | {row['sharding']} | {apart['loss']:.1e} | "
            f"{apart['weights']:.1e} | {apart['kl']:.1e} | {held} of DDP's |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    output, page = options.output, options.page
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options.folder or Path(scratch), options.cases)
    output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
