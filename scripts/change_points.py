"""How soon a change of task is noticed, how often one is reported that was none, and how pure clusters are.

Real reasoning-gym questions in streams of our own, without labels: random tasks one after another (`sequence`), in two
rounds (`recur:2`), one task alone and a mixture of three (both without any change). A change counts as found if it is
announced at most three batches after it; every other announcement is a false alarm.

    python scripts/change_points.py results/change-points.json
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.files.run_directory import to_json, versions
from fastslow.streams import ScheduledStream, Setting, make_schedule
from fastslow.tasks.resolve import resolve_task
from fastslow.topics.change_points import RECENT
from fastslow.topics.clusters import Clusters
from fastslow.topics.embedders import Embedder, make_embedder

TASKS = [
    "products?min_terms=2&max_terms=2&min_digits=1&max_digits=1", "gcd?max_value=20", "basic_arithmetic", "chain_sum",
    "leg_counting", "letter_counting", "spell_backward", "word_sorting", "number_sorting", "base_conversion",
    "simple_equations", "calendar_arithmetic", "family_relationships", "propositional_logic", "countdown",
    "caesar_cipher", "prime_factorization", "sentence_reordering", "fraction_simplification", "lcm", "count_bits",
    "time_intervals", "word_sequence_reversal", "syllogism", "decimal_arithmetic", "gsm_symbolic",
    "complex_arithmetic", "number_filtering", "rotate_matrix",
]  # fmt: skip
KINDS = {
    # kind: tasks, stream, steps of a stage
    "sequence": (4, "sequence", 10),
    "recur": (3, "recur:2", 6),
    "one task": (1, "sequence", 100),
    "mixture": (3, "mixture", 34),
}


class Remembering:
    """An embedder that embeds no text twice."""

    def __init__(self, embedder: Embedder):
        self.name = embedder.name
        self._embedder = embedder
        self._known: dict[str, np.ndarray] = {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else self._embedder.embed([])


def watch(
    tasks: Sequence[Sequence[Example]], kind: str, embedder: Embedder, *, batch: int, seed: int
) -> dict[str, Any]:
    """One stream from its beginning to its end: delays of the changes found, what else was announced, purity."""
    count, spec, stage_steps = KINDS[kind]
    setting = Setting(count, stage_steps, batch, seed)
    schedule = make_schedule(spec, setting)
    stream, clusters = ScheduledStream(schedule, tasks, setting), Clusters(embedder)
    truth, at_once, seen, announced = [], [], [], []
    for step in range(schedule.steps):
        examples = stream.batch(step)
        found = clusters.observe(examples)
        announced += [step] if found.change is not None else []
        at_once += [clusters.of(e) for e in examples]
        truth += [e.task for e in examples]
        seen += examples
    changes = [] if kind in ("one task", "mixture") else list(range(stage_steps, schedule.steps, stage_steps))
    delays, left = [], list(announced)
    for change in changes:
        hit = next((at for at in left if change <= at <= change + RECENT), None)
        delays.append(None if hit is None else hit - change)
        left = [at for at in left if at != hit]
    finally_ = [clusters.of(e) for e in seen]
    return {
        "batches": schedule.steps, "changes": len(changes), "delays": delays, "false_alarms": len(left),
        "purity_at_once": purity(at_once, truth), "purity": purity(finally_, truth),
        "clusters_per_task": len(set(finally_)) / count,
    }  # fmt: skip


def purity(clusters: Sequence[str], tasks: Sequence[str]) -> float:
    """Share of the examples whose cluster is mostly of their own task."""
    within: dict[str, Counter[str]] = {}
    for cluster, task in zip(clusters, tasks, strict=True):
        within.setdefault(cluster, Counter())[task] += 1
    return sum(max(counts.values()) for counts in within.values()) / len(tasks)


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    delays = [d for run in runs for d in run["delays"]]
    found = [d for d in delays if d is not None]
    batches, alarms = sum(r["batches"] for r in runs), sum(r["false_alarms"] for r in runs)
    return {
        "streams": len(runs), "batches": batches, "changes": len(delays), "found": len(found),
        "delays": {str(d): n for d, n in sorted(Counter(found).items())},
        "false_alarms": alarms, "false_alarms_per_100_batches": 100 * alarms / batches,
        "purity_at_once": float(np.mean([r["purity_at_once"] for r in runs])),
        "purity": float(np.mean([r["purity"] for r in runs])),
        "streams_with_purity_of_95_percent": float(np.mean([r["purity"] >= 0.95 for r in runs])),
        "clusters_per_task": float(np.mean([r["clusters_per_task"] for r in runs])),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--embedders", default="minilm,ngrams")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=12, help="of each kind and seed")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    sizes = {"train_size": 200, "validation_size": 4, "test_size": 4}
    tasks = {name: resolve_task(f"reasoning_gym:{name}", **sizes).split("train") for name in TASKS}
    results: dict[str, Any] = {}
    for name in options.embedders.split(","):
        embedder, started = Remembering(make_embedder(name)), time.perf_counter()
        by_seed: dict[int, dict[str, list[dict[str, Any]]]] = {}
        for seed in range(1, options.seeds + 1):
            runs = by_seed[seed] = {kind: [] for kind in KINDS}
            for kind, (count, _, _) in KINDS.items():
                for number in range(options.streams):
                    of_stream = derive_seed(seed, kind, number)
                    chosen = random.Random(of_stream).sample(TASKS, count)
                    some = [tasks[task] for task in chosen]
                    runs[kind].append(watch(some, kind, embedder, batch=options.batch, seed=of_stream))
            print(f"{name}, seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        results[name] = {
            kind: {
                **summary([run for runs in by_seed.values() for run in runs[kind]]),
                "by_seed": {seed: summary(runs[kind]) for seed, runs in by_seed.items()},
            }
            for kind in KINDS
        }
    about = {"batch": options.batch, "within_batches": RECENT, "tasks": TASKS, "kinds": KINDS, "versions": versions()}
    options.output.write_bytes(to_json({**about, "embedders": results}, indent=1))
    print(json.dumps({n: {k: {x: y for x, y in v.items() if x != "by_seed"} for k, v in r.items()}
                      for n, r in results.items()}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
