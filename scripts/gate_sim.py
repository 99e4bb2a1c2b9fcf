"""How often does a gate release what it should not, and what does it cost: thousands of simulated gates.

    python scripts/gate_sim.py results/gate-sim.json docs/gate.md

Questions on which two models differ are drawn from their true shares, then decided by the functions that `fastslow
gate` calls. The table goes between the markers of the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastslow.metrics.paired import tango_z
from fastslow.metrics.sequential import bounds_at, looks_at

GATES = 10_000
ALPHA = 0.05
# Margin, share of questions on which the two differ, questions.
CELLS = (
    (0.05, 0.10, 200),
    (0.05, 0.10, 400),
    (0.05, 0.20, 400),
    (0.05, 0.20, 800),
    (0.10, 0.20, 200),
    (0.02, 0.05, 1600),
)
LOOKS = (1, 4)
BEGIN, END = "<!-- gate-sim -->", "<!-- /gate-sim -->"


def simulate(
    margin: float, discordance: float, most: int, looks: int, drop: float, *, gates: int, seed: int
) -> dict[str, float]:
    """Return the share of gates that pass and fail, and the mean number of questions that they ask."""
    rng = np.random.default_rng(seed)
    won, lost = (discordance - drop) / 2, (discordance + drop) / 2
    places = looks_at(most, looks)
    bounds = bounds_at(ALPHA, places, most)
    won_G, lost_G = np.zeros(gates), np.zeros(gates)
    open_G, passed_G, failed_G = np.ones(gates, bool), np.zeros(gates, bool), np.zeros(gates, bool)
    asked_G = np.zeros(gates)
    before = 0
    for place, bound in zip(places, bounds, strict=True):
        drawn_G_3 = rng.multinomial(place - before, [won, lost, 1 - won - lost], size=gates)
        won_G, lost_G = won_G + drawn_G_3[:, 0], lost_G + drawn_G_3[:, 1]
        z_G = tango_z(won_G, lost_G, place, -margin)
        asked_G[open_G] = place
        passed_G |= open_G & (z_G >= bound)
        failed_G |= open_G & (z_G <= -bound)
        open_G &= ~(passed_G | failed_G)
        before = place
    return {"pass": float(passed_G.mean()), "fail": float(failed_G.mean()), "questions": float(asked_G.mean())}


def cells(gates: int) -> Iterator[dict[str, Any]]:
    """Yield every cell: a candidate whose true drop is the margin, and one that is as good as the baseline."""
    for at, (margin, discordance, most) in enumerate(CELLS):
        for looks in LOOKS:
            common = {"margin": margin, "discordance": discordance, "questions": most, "looks": looks}
            at_margin = simulate(margin, discordance, most, looks, margin, gates=gates, seed=2 * at)
            equal = simulate(margin, discordance, most, looks, 0.0, gates=gates, seed=2 * at + 1)
            yield {**common, "at_margin": at_margin, "equal": equal}


def large_drops() -> list[dict[str, Any]]:
    """Return what becomes of candidates that lost 15 points, three times the margin."""
    return [{"discordance": d, **simulate(0.05, d, 400, 4, 0.15, gates=100_000, seed=3)} for d in (0.2, 0.3)]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| margin | the two differ on | questions | looks | false release where the true drop is the margin | an equal "
        "candidate passes | questions it takes on average |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        equal = row["equal"]
        lines.append(
            f"| {row['margin']:.2f} | {100 * row['discordance']:.0f}% | {row['questions']} | {row['looks']} | "
            f"{row['at_margin']['pass']:.3f} | {equal['pass']:.3f} | {equal['questions']:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    rows = list(cells(GATES))
    made = {"gates": GATES, "alpha": ALPHA, "cells": rows, "lost_15_points": large_drops()}
    results.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
