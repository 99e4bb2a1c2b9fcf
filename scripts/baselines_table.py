"""From a folder of runs to one JSON file and a Markdown table.

    python scripts/baselines_table.py runs/baselines results/quickstart.json [RUN ...]

Every sub-folder with a config.yaml is a run; RUN names those that should be there as well. A run without a readable
summary.json is listed as missing, one that was stopped as stopped: neither is dropped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

COLUMNS = ("run", "status", "steps", "base, seed", "base, lead", "seed", "lead", "mean", "KL, seed", "KL, lead",
           "rollouts", "seconds")  # fmt: skip
ACCURACIES = ("base_seed", "base_lead", "seed", "lead", "mean")


def read_run(folder: Path) -> dict[str, Any]:
    """One entry of the JSON file."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {"run": folder.name, "status": "missing"}
    kept = ("status", "mode", "seed", "model", "task", "steps", "accuracy", "kl_to_base", "rollouts", "tokens")
    return {
        "run": folder.name,
        **{name: summary[name] for name in kept},
        "wall_s": summary["wall_s"]["total"],
        "curve": read_curve(folder),
        **{name: summary[name] for name in ("validation_examples", "machine", "versions")},
    }


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Accuracy and KL of the trained weights at every evaluation."""
    lines = (folder / "evals.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    kept = ("step", "context", "accuracy", "kl")
    return [{name: row[name] for name in kept} for row in rows if row["weights"] == "trained"]


def read_runs(folder: Path, expected: list[str]) -> list[dict[str, Any]]:
    """By mode, then seed; missing runs last, by name."""
    names = {path.parent.name for path in folder.glob("*/config.yaml")} | set(expected)
    runs = [read_run(folder / name) for name in names]
    return sorted(
        runs, key=lambda run: (run["status"] == "missing", run.get("mode", ""), run.get("seed", 0), run["run"])
    )


def cells(run: dict[str, Any]) -> list[str]:
    if run["status"] == "missing":
        return [run["run"], "missing", *["" for _ in COLUMNS[2:]]]
    return [
        run["run"],
        run["status"],
        str(run["steps"]),
        *(number(run["accuracy"][name], ".2f") for name in ACCURACIES),
        *(number(run["kl_to_base"][name], ".3f") for name in ("seed", "lead")),
        str(run["rollouts"]["slow"] + run["rollouts"]["fast"]),  # generated; reused ones cost nothing
        number(run["wall_s"], ".0f"),
    ]


def number(value: float | None, form: str) -> str:
    return "n/a" if value is None else format(value, form)


def main() -> None:
    parser = argparse.ArgumentParser(description="Summaries of a folder of runs: a JSON file and a Markdown table.")
    parser.add_argument("folder", type=Path, help="holds one folder per run")
    parser.add_argument("output", type=Path, help="JSON file to write")
    parser.add_argument("expected", nargs="*", metavar="RUN", help="runs to list even if their folder is not there")
    options = parser.parse_args()
    runs = read_runs(options.folder, options.expected)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(runs, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in (COLUMNS, ["---"] * len(COLUMNS), *map(cells, runs)):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
