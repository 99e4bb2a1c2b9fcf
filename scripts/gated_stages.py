"""Continual training behind a gate: how often is a stage refused, and rightly so? (`make gated-stages`, hours)

    python scripts/gated_stages.py FOLDER results/gated-stages.json docs/gate.md [--seeds 1 2 3 4 5] [--jobs 2]

A model learns three tasks in three stages. At each stage a careless candidate is trained on the new task alone, and a
careful one on all tasks so far, both from the champion's weights. Each is gated against the champion: it has to gain on
the new task and to keep, within the margin, every earlier one that the champion was promoted for. What passes is
promoted. Afterwards both are measured on questions that no gate asked, and the verdict is compared with that.

Seeds are independent of each other, and `--jobs` of them run side by side, on one core each. FOLDER keeps a registry
for each seed and what was found so far; a seed that the JSON file holds whole is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from pages import write_between

from fastslow.cli.main import main as fastslow
from fastslow.files.run_directory import machine, versions
from fastslow.registry.registry import CHAMPION, ModelRegistry

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/gated_stages.yaml"
TASKS = (
    "star_graph?degree=2&path=2&ids=10",
    "reasoning_gym:products?min_terms=2&max_terms=2&min_digits=1&max_digits=2&scorer=number",
    "reasoning_gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=2&scorer=number",
)
CANDIDATES = 2 * len(TASKS) - 1
"""Of a seed: a careless and a careful one for each stage, but one for the first, where both are the same."""
SEEDS = (1, 2, 3, 4, 5)
MIN_GAIN, MARGIN, QUESTIONS, LOOKS, TRUTH = 0.05, 0.1, 200, 4, 300
"""Gain that is asked for, drop that counts as none, questions of a gate and its looks, and questions that decide
afterwards whether a verdict was right."""
BEGIN, END = "<!-- gated-stages -->", "<!-- /gated-stages -->"


def policy(stage: int, learned: Sequence[int], questions: int, looks: int) -> str:
    """Return the policy of a stage: gain on its task, keep those that the champion was promoted for. A task whose stage
    was refused is none of them: who is never right has nothing to lose, and a gate says so (invalid)."""
    kept = [{"task": TASKS[earlier], "margin": MARGIN} for earlier in learned]
    asked = {
        "questions": questions, "looks": looks, "margin": MARGIN, "contexts": "cluster",
        "gain": [{"task": TASKS[stage], "min_gain": MIN_GAIN}], **({"retain": kept} if kept else {}),
    }  # fmt: skip
    return yaml.safe_dump(asked)


def recipe(tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return the recipe of a stage with these tasks; a single one takes as many steps as two."""
    given = yaml.safe_load(RECIPE.read_text())
    if len(tasks) > 1:
        return given | {"tasks": list(tasks)}
    steps = 2 * given["stage_steps"]
    return {k: v for k, v in given.items() if k not in ("tasks", "stream", "stage_steps")} | {
        "task": next(iter(tasks)), "max_steps": steps
    }  # fmt: skip


def run(*arguments: str, fine: tuple[int, ...] = (0,)) -> int:
    code = fastslow(list(arguments))
    if code not in fine:
        raise SystemExit(f"fastslow {' '.join(arguments)} ended with {code}")
    return code


def gate(folder: Path, candidate: str, baseline: str, asked: str, seed: int) -> dict[str, Any]:
    """Return what a verdict says, without the texts."""
    (folder / "policy.yaml").write_text(asked)
    file = str(folder / "verdict.json")
    run("gate", candidate, "--baseline", baseline, "--policy", str(folder / "policy.yaml"), "--seed", str(seed),
        "--json", file, fine=(0, 1))  # fmt: skip
    verdict = json.loads(Path(file).read_text())
    shown = ("kind", "name", "state", "candidate", "baseline", "difference", "low", "high", "n")
    return {"state": verdict["state"], "seconds": verdict["seconds"],
            "checks": [{name: check[name] for name in shown} for check in verdict["checks"]]}  # fmt: skip


def judge(folder: Path, stage: int, kind: str, learned: Sequence[int], seed: int) -> dict[str, Any]:
    """Train a candidate, gate it, measure it and the champion once more, and promote it if it passed; `learned` are the
    stages that the champion was promoted for."""
    releases = ModelRegistry.open(folder / "releases")
    champion = releases.aliases().get(CHAMPION)
    start = "smollm2-135m" if champion is None else str(releases.path(champion))
    tasks = TASKS[stage : stage + 1] if kind == "careless" else TASKS[: stage + 1]
    name = folder / f"stage-{stage + 1}-{kind}"
    shutil.rmtree(name, ignore_errors=True)
    file = name.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe(tasks)))
    run("train", "--config", str(file), "--model", start, "--seed", str(seed), "--output_dir", str(name))
    run("registry", "add", str(releases.folder), str(name))
    against = "base" if champion is None else f"{releases.folder}@champion"
    found = gate(folder, str(name), against, policy(stage, learned, QUESTIONS, LOOKS), seed=100 * seed + stage)
    verdict = folder / f"verdict-{stage + 1}-{kind}.json"
    shutil.copy(folder / "verdict.json", verdict)
    # Another seed draws other questions; against a bundle, so that the registry counts no second gate.
    truth = gate(
        folder,
        str(name),
        "base" if champion is None else start,
        policy(stage, learned, TRUTH, 1),
        seed=10_000 + 100 * seed + stage,
    )
    if found["state"] == "pass":
        run("registry", "promote", str(releases.folder), "candidate", "--verdict", str(verdict))
    good = all(
        check["difference"] >= (MIN_GAIN if check["kind"] == "gain" else -MARGIN) for check in truth["checks"]
    )  # fmt: skip
    return {"seed": seed, "stage": stage + 1, "kind": kind, "gate": found, "afterwards": truth, "was_good": good}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| stage | candidate trained on | gated | passed | refused | refused rightly | passed wrongly "
        "| refused wrongly |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for stage in range(1, len(TASKS) + 1):
        for kind in ("careless", "careful"):
            some = [row for row in rows if (row["stage"], row["kind"]) == (stage, kind)]
            if some:
                passed = [row for row in some if row["gate"]["state"] == "pass"]
                refused = [row for row in some if row["gate"]["state"] != "pass"]
                what = "the new task alone" if kind == "careless" else "all tasks so far"
                good = sum(row["was_good"] for row in refused)
                bad = sum(not row["was_good"] for row in passed)
                counts = (len(some), len(passed), len(refused), len(refused) - good, bad, good)
                lines.append(f"| {stage} | {what} | {' | '.join(map(str, counts))} |")
    worst = [c["difference"] for r in rows if r["gate"]["state"] == "pass" for c in r["afterwards"]["checks"]
             if c["kind"] == "retain"]  # fmt: skip
    if worst:
        lines += ["", f"The largest drop of a champion on an earlier task, on {TRUTH} further questions: "
                  f"{100 * max(0.0, -min(worst)):.1f} points; allowed were {100 * MARGIN:.0f}."]  # fmt: skip
    return "\n".join(lines)


def promotions(folder: Path) -> int:
    """Return how many candidates of a seed became the champion; 0 where it was not begun."""
    if not (folder / "releases").exists():
        return 0
    return sum(entry.event == "promote" for entry in ModelRegistry.open(folder / "releases").entries())


def run_seed(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Train and judge the candidates of a seed that are missing, and return what was found of all of them."""
    found, own = folder / f"seed-{seed}.json", folder / f"seed-{seed}"
    rows = json.loads(found.read_text()) if found.exists() else []
    if promotions(own) != sum(row["gate"]["state"] == "pass" for row in rows):  # promoted and not written down, or gone
        shutil.rmtree(own, ignore_errors=True)
        rows = []
    if not (own / "releases").exists():
        run("registry", "init", str(own / "releases"))
    for stage in range(len(TASKS)):
        for kind in ("careless", "careful") if stage else ("careful",):
            if not any((row["stage"], row["kind"]) == (stage + 1, kind) for row in rows):
                learned = sorted({row["stage"] - 1 for row in rows if row["gate"]["state"] == "pass"} - {stage})
                rows.append(judge(own, stage, kind, learned, seed))
                found.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def run_seeds(options: argparse.Namespace, seeds: list[int]) -> None:
    """Run seeds side by side, each in a process of its own. Raises SystemExit where one fails."""

    def start(seed: int) -> int:
        own = [str(options.folder), str(options.results), str(options.page), "--only", str(seed)]
        with (options.folder / f"seed-{seed}.log").open("w") as log:
            env = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // options.jobs))}
            return subprocess.run(
                [sys.executable, __file__, *own], stdout=log, stderr=log, env=env, check=False
            ).returncode

    options.folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        failed = [seed for seed, code in zip(seeds, pool.map(start, seeds), strict=True) if code]
    if failed:
        raise SystemExit(f"seeds {failed} failed; see {options.folder}/seed-{failed[0]}.log")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="run this seed here, and write nothing but its own file")
    parser.add_argument("--collect", action="store_true", help="run nothing: write down what was found so far")
    options = parser.parse_args()
    if options.only is not None:
        run_seed(options.folder, options.only)
        return
    kept = json.loads(options.results.read_text())["candidates"] if options.results.exists() else []
    by_seed = {seed: [row for row in kept if row["seed"] == seed] for seed in options.seeds}
    if not options.collect:
        run_seeds(options, [seed for seed, rows in by_seed.items() if len(rows) < CANDIDATES])
    for seed in options.seeds:
        file = options.folder / f"seed-{seed}.json"
        rows = json.loads(file.read_text()) if file.exists() else []
        by_seed[seed] = max(rows, by_seed[seed], key=len)
    rows = [row for seed in options.seeds for row in by_seed[seed]]
    found = {"machine": machine(), "versions": versions(), "tasks": list(TASKS), "candidates": rows}
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_between(options.page, BEGIN, END, table(rows))


if __name__ == "__main__":
    main()
