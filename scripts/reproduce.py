"""The paper's claims in miniature (`make reproduce`): run what is missing, keep the numbers, write the page.

    python scripts/reproduce.py run [NAME ...]        every experiment below, or those named; picks up where it stopped
    python scripts/reproduce.py run --jobs 2          two experiments side by side, a share of the cores each
    python scripts/reproduce.py run NAME --seeds 2 --arms fst,rl      a part of it first
    python scripts/reproduce.py estimate [NAME ...]   what is left to run, and the time and disk it takes

A finished cell leaves its settings, summary, metrics and evaluations under results/reproduce, from which
`fastslow report results/reproduce/NAME` makes its page; a cell that is there is not run again on this machine or any
other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from kept import MEASURED, done, fetch, keep

RUNS, KEPT = Path("runs/reproduce"), Path("results/reproduce")
RECIPES = Path("recipes/reproduce")
PLASTICITY_STEPS = 20
# Plain RL must be able to learn the second task at all: on gcd it does not in these steps (0.33 before, 0.23 after).
SUMS = "reasoning_gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1&scorer=number"


@dataclass(frozen=True)
class Experiment:
    """A command of fastslow and the claim it is about. `cells` and `minutes` of one on two cores: the estimate.
    Where it is `measured`, every bundle is asked what no task asks for (bundle_measures.py), and then dropped."""

    name: str
    claim: str
    command: tuple[str, ...]
    cells: int
    minutes: float
    after: str | None = None
    measured: bool = False


def _recipe(name: str, command: str = "compare") -> tuple[str, ...]:
    return (command, str(RECIPES / f"{name}.yaml"))


EXPERIMENTS = (
    Experiment("products", "efficiency, KL and quadrants, RL has signal", _recipe("products"), 15, 4),
    Experiment("products_exact", "the same, RL has little signal", _recipe("products_exact"), 15, 4),
    Experiment("star_graph", "the same, RL has none", _recipe("star_graph"), 15, 4),
    Experiment("number_format", "the same, RL has little signal", _recipe("number_format"), 9, 7),
    Experiment(
        "plasticity",
        "can it still learn?",
        (
            "plasticity", "--from", str(RUNS / "products/fst-s1"), "--from", str(RUNS / "products/rl-s1"),
            "--task", SUMS, "--steps", str(PLASTICITY_STEPS), "--config", str(RECIPES / "products.yaml"),
        ),
        9,
        3,
        after="products",  # the weights it starts from
    ),
    Experiment("continual", "three tasks one after another", _recipe("continual", "continual"), 6, 9),
    Experiment("contexts", "ablation: K", _recipe("contexts"), 9, 3),
    Experiment("edits", "ablation: full edits", _recipe("edits"), 3, 4),
    Experiment("advantages", "ablation: advantages within a context", _recipe("advantages"), 3, 4),
    Experiment("stream_recur", "tasks that return, without labels", ("compare", "recipes/stream_recur.yaml"), 12, 5),
    Experiment("routers", "routing rules at equal rollouts", _recipe("routers"), 21, 5),
    Experiment("routers_ahead", "routing before the rollout", _recipe("routers_ahead"), 20, 6),
    *(
        Experiment(
            f"worth_{task}", "never worse than one channel alone", ("compare", f"recipes/worth/{task}.yaml"), 35, 6
        )
        for task in ("sums", "sums_exact", "star_graph", "divisors", "number_format", "letter_counting")
    ),
    Experiment("prefix", "ablation: contexts as constants", _recipe("prefix"), 10, 4),
    Experiment("noisy_labels", "a fifth of the labels wrong", _recipe("noisy_labels"), 12, 5),
    *(
        Experiment(name, claim, ("compare", f"recipes/replication/{name}.yaml"), cells, 4, measured=True)
        for name, claim, cells in (
            ("losses_sums", "other losses than CISPO", 60),
            ("losses_sums_exact", "other losses than CISPO, RL has no signal", 60),
            ("rates_sums", "other learning rates, with a KL term and without", 80),
        )
    ),
)  # fmt: skip


def run(names: list[str], jobs: int = 1, part: Sequence[str] = ()) -> int:
    """Every experiment, `jobs` of them at a time, with these further flags. Returns the worst exit code; a signal ends
    them all."""
    chosen = [e for e in EXPERIMENTS if not names or e.name in names]
    for line in estimate(chosen):
        print(line, flush=True)
    ended: dict[str, threading.Event] = {e.name: threading.Event() for e in chosen}
    stopped = threading.Event()

    def one(experiment: Experiment) -> int:
        try:
            if experiment.after in ended:
                ended[experiment.after].wait()
            return 0 if stopped.is_set() else _run(experiment, jobs, part)
        finally:
            ended[experiment.name].set()

    with ThreadPoolExecutor(jobs) as pool:
        worst = 0
        for done_one in as_completed([pool.submit(one, experiment) for experiment in chosen]):
            if done_one.result() >= 128:
                stopped.set()
            worst = max(worst, done_one.result())
    return worst


def _run(experiment: Experiment, jobs: int, part: Sequence[str]) -> int:
    # The weights of these two runs are what plasticity starts from.
    needed = experiment.name == "products" and not done(KEPT / "plasticity")
    fetch(KEPT / experiment.name, RUNS / experiment.name, but=("fst-s1", "rl-s1") if needed else ())
    target = str(RUNS / experiment.name)
    command = [sys.executable, "-m", "fastslow", *experiment.command, *part, "--output_dir", target]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
    env = {**os.environ, **threads}
    code = subprocess.run(command, check=False, env=env).returncode
    keep(RUNS / experiment.name, KEPT / experiment.name)
    return max(code, _measure(experiment, env)) if experiment.measured else code


def _measure(experiment: Experiment, env: dict[str, str]) -> int:
    """Measure the bundles that are there, one after another; return 1 if one could not be."""
    failed = 0
    for bundle in sorted((RUNS / experiment.name).glob("*/bundle")):
        cell = bundle.parent
        if cell.name in done(cell.parent):
            print(f"measuring {cell} ...", flush=True)
            out = KEPT / experiment.name / cell.name / MEASURED
            command = [sys.executable, "scripts/bundle_measures.py", str(cell), str(out), "--no_costs"]
            if subprocess.run(command, check=False, env={**env, "PYTHONHASHSEED": "0"}).returncode:
                failed = 1
            else:
                shutil.rmtree(bundle)
    return failed


def estimate(chosen: list[Experiment]) -> list[str]:
    minutes, lines = 0.0, []
    for experiment in chosen:
        left = max(0, experiment.cells - len(done(KEPT / experiment.name) | done(RUNS / experiment.name)))
        minutes += left * experiment.minutes
        lines.append(f"{experiment.name}: {left} of {experiment.cells} runs to do ({experiment.claim})")
    bundles = sum(e.cells for e in chosen if e.name == "products") * 0.54
    return [*lines, f"about {minutes / 60:.1f} hours on two cores, {bundles:.0f} GB of disk under {RUNS}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "estimate"])
    parser.add_argument("names", nargs="*", choices=[[], *(e.name for e in EXPERIMENTS)], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at a time")
    parser.add_argument("--seeds", help="as of fastslow compare; by default those of the recipe")
    parser.add_argument("--arms", help="as of fastslow compare; by default those of the recipe")
    options = parser.parse_args()
    if options.what == "estimate":
        print("\n".join(estimate([e for e in EXPERIMENTS if not options.names or e.name in options.names])))
        return 0
    asked = (("--seeds", options.seeds), ("--arms", options.arms))
    return run(options.names, max(1, options.jobs), [word for flag, value in asked if value for word in (flag, value)])


if __name__ == "__main__":
    sys.exit(main())
