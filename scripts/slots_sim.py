"""Which way of dealing slots teaches most: contexts of known learning curves, whose curves follow from their rollouts.

    python scripts/slots_sim.py results/slots-sim.json docs/evidence.md        some ten minutes

A context learns from its own rollouts, and less from those of others, the more the nearer it is to one half (where
rewards differ, so that there is something to learn). What ships is the lead by the book of evidence; with slots that
are earned, of those that earned some. Fast phases score all contexts in every cycle or, as they do where they rest
(fast_effort: adaptive), in the first one alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_between

from fastslow.contexts.evidence import FORGOTTEN, Entry, Standings
from fastslow.contexts.slots import (
    TRIAL,
    even_slots,
    groups_on_trial,
    shares_by_worth,
    shares_if_earned,
    shares_on_trial,
    slots_by_share,
    those_that_earned,
)

RUNS, STEPS, PROBLEMS, GENERATIONS, CYCLE, ANCHOR, HALF_LIFE = 100, 30, 4, 8, 5, 12, 5.0
SEED = "0"  # the plain prompt is the first context
TRANSFER = 0.3
"""What a context learns from the rollouts of others, as a share of what it learns from its own."""

# Log-odds at the start, and how fast each learns; drawn anew in each run around these.
WORLDS = {
    "contexts carry the task": ((-5.0, -0.5, -0.2, 0.0), (0.3, 0.6, 0.6, 0.6)),
    "the plain prompt learns faster": ((-0.5, 0.6, 0.8, 1.0), (1.2, 0.3, 0.3, 0.3)),
    "better, and slow to learn": ((-0.7, 0.2, -0.3, -0.7), (0.8, 0.3, 0.3, 0.3)),
    "some are a little better": ((-0.7, 0.0, -0.3, -0.7), (0.5, 0.5, 0.5, 0.5)),
    "one is good": ((-5.0, -2.0, -2.0, 0.5), (0.3, 0.4, 0.4, 0.5)),
    "all are alike": ((0.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5)),
}
BEGIN, END = "<!-- slots-sim -->", "<!-- /slots-sim -->"
Deal = Callable[[Standings, int], tuple[Sequence[float], Sequence[float]]]
"""Standings and step -> the share of the slots of each context, and of the groups that are trials of it."""
IDS, NONE = [str(c) for c in range(4)], [0.0] * 4


def even(standings: Standings, step: int) -> tuple[Sequence[float], Sequence[float]]:
    return [0.25] * 4, NONE


def adaptive(ahead: float, floor: float = 0.125) -> Deal:
    return lambda standings, step: (
        shares_by_worth(IDS, standings, seed_id=SEED, floor=floor, ahead=ahead, seed=step), NONE,
    )  # fmt: skip


def earned(most: float = TRIAL) -> Deal:
    def deal(standings: Standings, step: int) -> tuple[Sequence[float], Sequence[float]]:
        shares = shares_if_earned(IDS, standings, seed_id=SEED, floor=0.125, ahead=CYCLE, seed=step)
        tried = shares_on_trial(IDS, standings, shares, seed_id=SEED, ahead=CYCLE, seed=step, most=most)
        return shares, tried

    return deal


def only(context: int) -> Deal:
    return lambda standings, step: ([float(c == context) for c in range(4)], NONE)


POLICIES: dict[str, Deal] = {
    "even": even,
    "adaptive": adaptive(CYCLE),
    "earned": earned(),
    "earned, none in doubt tried": earned(0.0),
    "earned, a sixteenth to try": earned(1 / 16),
    "earned, a quarter to try": earned(1 / 4),
    "by the level alone": adaptive(0),
    "without a floor": adaptive(CYCLE, 0.0),
}
ALONE = {f"{context} alone": only(context) for context in range(4)}
ORACLE = "all to the one that ends best (oracle)"
SCORED = ("in every cycle", "in the first alone")


def one_run(world: str, slots: str, scored: str, seed: int) -> dict[str, float]:
    """Return the true expected reward of what ships after the last step, of the best, and their mean over the run."""
    deal = {**POLICIES, **ALONE}[slots]
    rng = np.random.default_rng(seed)
    starts, rates = WORLDS[world]
    odds_K = np.array(starts) + rng.normal(0, 0.4, 4)
    rate_K = np.array(rates) * rng.uniform(0.6, 1.4, 4)
    entries: list[Entry] = []
    owed: Sequence[float] = NONE
    curve = []
    for step in range(STEPS):
        easy_Q = rng.normal(0, 1.0, PROBLEMS)
        if step % CYCLE == 0 and (step == 0 or scored == SCORED[0]):
            for q, easy in enumerate(rng.normal(0, 1.0, ANCHOR)):
                entries += [Entry(str(c), f"a{step}.{q}", step, _drawn(odds_K[c] + easy, rng)) for c in range(4)]
        entries = [entry for entry in entries if step - entry.version <= FORGOTTEN * HALF_LIFE]
        standings = Standings(entries, now=step, half_life=HALF_LIFE)
        lead = shipped(standings, slots, step)
        curve.append(_chance(odds_K[lead]))
        shares, tried = deal(standings, step)
        trial_B, owed = groups_on_trial(tried, owed, [GENERATIONS] * PROBLEMS)
        rest = [GENERATIONS] * trial_B.count(None)
        dealt = iter(
            even_slots(4, range(PROBLEMS), GENERATIONS) if deal is even else slots_by_share(shares, NONE, rest)[0]
        )
        picks_B_G = [next(dealt) if trial is None else [trial] * GENERATIONS for trial in trial_B]
        for q, (easy, picks_G) in enumerate(zip(easy_Q, picks_B_G, strict=True)):
            entries += [Entry(str(c), f"s{step}.{q}", step, _drawn(odds_K[c] + easy, rng)) for c in picks_G]
        share_K = np.bincount(np.ravel(picks_B_G), minlength=4) / (PROBLEMS * GENERATIONS)
        p_K = np.array([_chance(odds) for odds in odds_K])
        signal_K = share_K * 4 * p_K * (1 - p_K) * rate_K
        odds_K = odds_K + signal_K + TRANSFER * (signal_K.sum() - signal_K)
    final_K = [_chance(odds) for odds in odds_K]
    lead = shipped(Standings(entries, now=STEPS, half_life=HALF_LIFE), slots, STEPS)
    return {"shipped": final_K[lead], "best": max(final_K), "curve": float(np.mean(curve))}


def _chance(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def _drawn(odds: float, rng: np.random.Generator) -> float:
    return float(rng.random() < _chance(odds))


def shipped(standings: Standings, slots: str, step: int) -> int:
    """Return the context that would ship."""
    ids = [str(c) for c in range(4)]
    if slots.startswith("earned"):
        earned_some = those_that_earned(ids, standings, SEED, seed=step)
        ids = earned_some if earned_some and standings.dead(SEED) else [SEED, *earned_some]
    return int(standings.ranked(ids)[0].context_id)


def rows(runs: int) -> list[dict[str, Any]]:
    asked = [(scored, world, slots) for scored in SCORED for world in WORLDS for slots in (*POLICIES, ORACLE)]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(row, asked, [runs] * len(asked)))


def row(asked: tuple[str, str, str], runs: int) -> dict[str, Any]:
    """Return a row of the table: means over runs."""
    scored, world, slots = asked
    if slots == ORACLE:
        ran = [{"best": max(one_run(world, c, scored, seed)["best"] for c in ALONE)} for seed in range(runs)]
    else:
        ran = [one_run(world, slots, scored, seed) for seed in range(runs)]
    means = {name: float(np.mean([one[name] for one in ran])) for name in ran[0]}
    made = {"scored": scored, "world": world, "slots": slots, **means}
    print(made, flush=True)
    return made


def table(made: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown: what ships after the last step, and the mean of what would ship."""
    ways = list(dict.fromkeys(row["slots"] for row in made))
    lines = [f"| all are scored | contexts | {' | '.join(ways)} |", "|---" * (2 + len(ways)) + "|"]
    for scored, world in dict.fromkeys((row["scored"], row["world"]) for row in made):
        of = {row["slots"]: row for row in made if (row["scored"], row["world"]) == (scored, world)}
        cells = (
            " / ".join(f"{100 * of[way][n]:.1f}" for n in ("shipped", "curve") if n in of[way]) for way in ways[:-1]
        )
        lines.append(f"| {scored} | {world} | {' | '.join(cells)} | {100 * of[ORACLE]['best']:.1f} |")
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
