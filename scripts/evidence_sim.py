"""Does the book of evidence know what it says: contexts of known worth and learning curves, a thousand runs a row.

    python scripts/evidence_sim.py results/evidence-sim.json docs/evidence.md      some three minutes

Questions differ in difficulty, suit some contexts better than others, and come back within a cycle, as in a run. The
fits are those of `contexts.evidence`. The table goes between the markers of the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_between

from fastslow.contexts.evidence import FORGOTTEN, Entry, Standings

RUNS = 1000
HALF_LIFE = 5.0
CONTEXTS, PROBLEMS, GENERATIONS, CYCLE, ANCHOR = 4, 8, 8, 5, 16
# Name, fastest change of a context's log-odds with a step.
CURVES = (("none learns", 0.0), ("at different rates", 0.12), ("at very different rates", 0.3))
STEPS = (5, 15, 30)
BEGIN, END = "<!-- evidence-sim -->", "<!-- /evidence-sim -->"


@dataclass(frozen=True)
class World:
    """True log-odds of contexts at the start, their change with a step, and the step at which each appears."""

    start_K: Any
    rate_K: Any
    born_K: Any

    def odds(self, context: int, step: int) -> float:
        return float(self.start_K[context] + self.rate_K[context] * step)

    def worth(self, step: int, rng: np.random.Generator) -> Any:
        """The true expected reward of each context on new questions."""
        easy_Q, suits_Q = rng.normal(0, 1.2, 4000), rng.normal(0, 0.7, 4000)
        return np.array([_chance(self.odds(c, step) + easy_Q + suits_Q).mean() for c in range(len(self.start_K))])


def _chance(odds: Any) -> Any:
    return 1 / (1 + np.exp(-odds))


def rollouts(world: World, steps: int, rng: np.random.Generator) -> list[Entry]:
    """Draw what a run of so many steps rolls out: an anchor set each cycle, then a group for each problem."""
    entries: list[Entry] = []
    questions: list[tuple[str, float, Any]] = []

    def answer(context: int, question: tuple[str, float, Any], step: int) -> None:
        name, easy, suits_K = question
        reward = float(rng.random() < _chance(world.odds(context, step) + easy + suits_K[context]))
        entries.append(Entry(str(context), name, step, reward))

    for step in range(steps):
        members = [c for c in range(len(world.start_K)) if world.born_K[c] <= step]
        if step % CYCLE == 0:
            size = len(world.start_K)
            questions = [(f"{step}.{i}", rng.normal(0, 1.2), rng.normal(0, 0.7, size)) for i in range(PROBLEMS * CYCLE)]
            for question in questions[:ANCHOR]:
                for context in members:
                    answer(context, question, step)
        first = step % CYCLE * PROBLEMS
        for question in questions[first : first + PROBLEMS]:
            for slot in range(GENERATIONS):
                answer(members[slot % len(members)], question, step)
    return entries


def one_run(fastest: float, steps: int, seed: int, half_life: float = HALF_LIFE) -> dict[str, Any]:
    """Return what the book said at the end of one run, against the truth. The last context is new in the last cycle."""
    rng = np.random.default_rng(seed)
    born_K = np.array([0, 0, 0, (steps - 1) // CYCLE * CYCLE])
    world = World(rng.normal(-0.5, 1, CONTEXTS), rng.uniform(0, fastest, CONTEXTS), born_K)
    entries = [e for e in rollouts(world, steps, rng) if steps - e.version <= FORGOTTEN * half_life]
    book, truth_K = Standings(entries, now=steps, half_life=half_life), world.worth(steps, rng)
    standings = [book.of(str(c)) for c in range(CONTEXTS)]
    lead, after = (int(one.context_id) for one in book.ranked(map(str, range(CONTEXTS)))[:2])
    _, low, high = book.edge(str(lead), str(after))
    newest = max(e.version for e in entries if e.version % CYCLE == 0)
    anchors = [[e.reward for e in entries if e.version == newest and e.context_id == str(c)][:ANCHOR] for c in range(4)]
    by_anchor = int(np.argmax([np.mean(rewards) for rewards in anchors]))
    inside = [one.low <= truth <= one.high for one, truth in zip(standings, truth_K, strict=True)]
    return {
        "inside": float(np.mean(inside)),
        "lead_inside": float(inside[lead]),
        "edge_inside": float(low <= truth_K[lead] - truth_K[after] <= high),
        "width": float(np.mean([one.high - one.low for one in standings])),
        "regret": float(truth_K.max() - truth_K[lead]),
        "regret_by_anchor": float(truth_K.max() - truth_K[by_anchor]),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| contexts learn | steps | 95% interval holds the truth: any context | the lead | lead minus next | width | "
        "the lead lies below the best by | the best of the anchor set by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = " | ".join(f"{100 * row[name]:.1f}%" for name in ("inside", "lead_inside", "edge_inside"))
        points = " | ".join(f"{100 * row[name]:.1f} points" for name in ("width", "regret", "regret_by_anchor"))
        lines.append(f"| {row['curve']} | {row['steps']} | {shares} | {points} |")
    return "\n".join(lines)


def main() -> int:
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    rows = []
    for curve, fastest in CURVES:
        for steps in STEPS:
            runs = [one_run(fastest, steps, seed) for seed in range(RUNS)]
            rows.append({"curve": curve, "steps": steps, **{k: float(np.mean([r[k] for r in runs])) for k in runs[0]}})
            print(rows[-1], flush=True)
    made = {"runs": RUNS, "half_life": HALF_LIFE, "rows": rows}
    results.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    write_between(page, BEGIN, END, table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
