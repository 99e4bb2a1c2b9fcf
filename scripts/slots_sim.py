"""Which way of dealing slots teaches most: contexts of known learning curves, whose curves follow from their rollouts.

    python scripts/slots_sim.py results/slots-sim.json docs/evidence.md        some five minutes

A context learns from its own rollouts, and less from those of others, the more the nearer it is to one half (where
rewards differ, so that there is something to learn). What ships is the lead by the book of evidence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_between

from fastslow.contexts.evidence import FORGOTTEN, Entry, Standings
from fastslow.contexts.slots import even_slots, shares_by_worth, shares_if_earned, slots_by_share

RUNS, STEPS, PROBLEMS, GENERATIONS, CYCLE, ANCHOR, HALF_LIFE = 100, 30, 8, 8, 5, 16, 5.0
SEED = "0"  # the plain prompt is the first context
TRANSFER = 0.3
"""What a context learns from the rollouts of others, as a share of what it learns from its own."""

# Log-odds at the start, and how fast each learns; drawn anew in each run around these.
WORLDS = {
    "contexts carry the task": ((-5.0, -0.5, -0.2, 0.0), (0.3, 0.6, 0.6, 0.6)),
    "the plain prompt learns faster": ((-0.5, 0.6, 0.8, 1.0), (1.2, 0.3, 0.3, 0.3)),
    "one is good": ((-5.0, -2.0, -2.0, 0.5), (0.3, 0.4, 0.4, 0.5)),
    "all are alike": ((0.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5)),
}
BEGIN, END = "<!-- slots-sim -->", "<!-- /slots-sim -->"
Deal = Callable[[Standings, int], Sequence[float]]


def even(standings: Standings, step: int) -> Sequence[float]:
    return [0.25] * 4


def adaptive(ahead: float, floor: float = 0.125) -> Deal:
    return lambda standings, step: shares_by_worth(
        [str(c) for c in range(4)], standings, seed_id=SEED, floor=floor, ahead=ahead, seed=step
    )


def earned(standings: Standings, step: int) -> Sequence[float]:
    ids = [str(c) for c in range(4)]
    return shares_if_earned(ids, standings, seed_id=SEED, floor=0.125, ahead=CYCLE, seed=step)


def only(context: int) -> Deal:
    return lambda standings, step: [float(c == context) for c in range(4)]


POLICIES: dict[str, Deal] = {
    "even": even,
    "adaptive": adaptive(CYCLE),
    "earned": earned,
    "by the level alone": adaptive(0),
    "without a floor": adaptive(CYCLE, 0.0),
}


def one_run(world: str, deal: Deal, seed: int) -> dict[str, float]:
    """Return the true expected reward of what ships after the last step, of the best, and their mean over the run."""
    rng = np.random.default_rng(seed)
    starts, rates = WORLDS[world]
    odds_K = np.array(starts) + rng.normal(0, 0.4, 4)
    rate_K = np.array(rates) * rng.uniform(0.6, 1.4, 4)
    entries: list[Entry] = []
    curve = []
    for step in range(STEPS):
        easy_Q = rng.normal(0, 1.0, PROBLEMS)
        if step % CYCLE == 0:
            for q, easy in enumerate(rng.normal(0, 1.0, ANCHOR)):
                entries += [Entry(str(c), f"a{step}.{q}", step, _drawn(odds_K[c] + easy, rng)) for c in range(4)]
        entries = [entry for entry in entries if step - entry.version <= FORGOTTEN * HALF_LIFE]
        standings = Standings(entries, now=step, half_life=HALF_LIFE)
        lead = int(standings.ranked(str(c) for c in range(4))[0].context_id)
        curve.append(_chance(odds_K[lead]))
        shares = deal(standings, step)
        picks_B_G = even_slots(4, range(PROBLEMS), GENERATIONS) if deal is even else slots_by_share(
            shares, [0.0] * 4, [GENERATIONS] * PROBLEMS
        )[0]  # fmt: skip
        for q, (easy, picks_G) in enumerate(zip(easy_Q, picks_B_G, strict=True)):
            entries += [Entry(str(c), f"s{step}.{q}", step, _drawn(odds_K[c] + easy, rng)) for c in picks_G]
        share_K = np.bincount(np.ravel(picks_B_G), minlength=4) / (PROBLEMS * GENERATIONS)
        p_K = np.array([_chance(odds) for odds in odds_K])
        signal_K = share_K * 4 * p_K * (1 - p_K) * rate_K
        odds_K = odds_K + signal_K + TRANSFER * (signal_K.sum() - signal_K)
    final_K = [_chance(odds) for odds in odds_K]
    lead = int(Standings(entries, now=STEPS, half_life=HALF_LIFE).ranked(str(c) for c in range(4))[0].context_id)
    return {"shipped": final_K[lead], "best": max(final_K), "curve": float(np.mean(curve))}


def _chance(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def _drawn(odds: float, rng: np.random.Generator) -> float:
    return float(rng.random() < _chance(odds))


def rows(runs: int) -> list[dict[str, Any]]:
    made = []
    for world in WORLDS:
        for name, deal in POLICIES.items():
            ran = [one_run(world, deal, seed) for seed in range(runs)]
            made.append({"world": world, "slots": name, **{k: float(np.mean([r[k] for r in ran])) for k in ran[0]}})
            print(made[-1], flush=True)
        alone = [max(one_run(world, only(c), s)["best"] for c in range(4)) for s in range(runs)]
        made.append({"world": world, "slots": "all to the one that ends best (oracle)", "best": float(np.mean(alone))})
        print(made[-1], flush=True)
    return made


def table(made: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| contexts | slots | what ships after 30 steps | the best member | what would ship, mean over the run |",
        "|---|---|---|---|---|",
    ]
    for row in made:
        numbers = (f"{100 * row[name]:.1f}%" if name in row else "" for name in ("shipped", "best", "curve"))
        lines.append(f"| {row['world']} | {row['slots']} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def main() -> int:
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else RUNS
    made = rows(runs)
    results.write_text(json.dumps({"runs": runs, "rows": made}, indent=2) + "\n", encoding="utf-8")
    write_between(page, BEGIN, END, table(made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
