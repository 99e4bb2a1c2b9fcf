"""How often does a gate release what it should not, and what does it cost: thousands of simulated gates.

    python scripts/gate_sim.py results/gate-sim.json docs/gate.md

Questions on which two models differ are drawn from their true shares, then decided by the functions that `fastslow
gate` calls. The table goes between the markers of the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_between

from fastslow.metrics.exact import exact_bound
from fastslow.metrics.graded import graded_z
from fastslow.metrics.paired import EQUAL, tango_z
from fastslow.metrics.sequential import bounds_at, looks_at

GATES = 10_000
# Alpha, margin, share of questions on which the two differ, questions. In the last three the two differ where the
# candidate lost, and nowhere else: the worst that few questions can hide.
CELLS = (
    (0.05, 0.05, 0.10, 200),
    (0.05, 0.05, 0.10, 400),
    (0.05, 0.05, 0.20, 400),
    (0.05, 0.05, 0.20, 800),
    (0.05, 0.10, 0.20, 200),
    (0.05, 0.02, 0.05, 1600),
    (0.05, 0.05, 0.05, 60),
    (0.10, 0.05, 0.05, 60),
    (0.25, 0.05, 0.05, 40),
)
LOOKS = (1, 4)
BEGIN, END = "<!-- gate-sim -->", "<!-- /gate-sim -->"


def simulate(
    alpha: float, margin: float, discordance: float, most: int, looks: int, drop: float, *, gates: int, seed: int
) -> dict[str, float]:
    """Return the share of gates that pass and fail, and the mean number of questions that they ask."""
    rng = np.random.default_rng(seed)
    won, lost = (discordance - drop) / 2, (discordance + drop) / 2
    places = looks_at(most, looks)
    bounds = bounds_at(alpha, places, most)
    won_G, lost_G = np.zeros(gates), np.zeros(gates)
    open_G, passed_G, failed_G = np.ones(gates, bool), np.zeros(gates, bool), np.zeros(gates, bool)
    asked_G = np.zeros(gates)
    before = 0
    for place, bound in zip(places, bounds, strict=True):
        drawn_G_3 = rng.multinomial(place - before, [won, lost, 1 - won - lost], size=gates)
        won_G, lost_G = won_G + drawn_G_3[:, 0], lost_G + drawn_G_3[:, 1]
        z_G = tango_z(won_G, lost_G, place, -margin)
        asked_G[open_G] = place
        passed_G |= open_G & (z_G >= exact_bound(place, -margin, bound))
        failed_G |= open_G & (z_G <= -exact_bound(place, margin, bound))
        open_G &= ~(passed_G | failed_G)
        before = place
    return {"pass": float(passed_G.mean()), "fail": float(failed_G.mean()), "questions": float(asked_G.mean())}


def cells(gates: int) -> Iterator[dict[str, Any]]:
    """Yield every cell: a candidate whose true drop is the margin, and one that is as good as the baseline."""
    for at, (alpha, margin, discordance, most) in enumerate(CELLS):
        for looks in LOOKS:
            common = {"alpha": alpha, "margin": margin, "discordance": discordance, "questions": most, "looks": looks}
            at_margin = simulate(alpha, margin, discordance, most, looks, margin, gates=gates, seed=2 * at)
            equal = simulate(alpha, margin, discordance, most, looks, 0.0, gates=gates, seed=2 * at + 1)
            yield {**common, "at_margin": at_margin, "equal": equal}


def large_drops() -> list[dict[str, Any]]:
    """Return what becomes of candidates that lost 15 points, three times the margin."""
    return [{"discordance": d, **simulate(0.05, 0.05, d, 400, 4, 0.15, gates=100_000, seed=3)} for d in (0.2, 0.3)]


GRADED_KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]] = {
    "entirely lost, now and then": lambda rng, shape: -(rng.random(shape) < 0.05).astype(float),
    "entirely lost, beside small noise": lambda rng, shape: np.where(
        rng.random(shape) < 0.05, -1.0, rng.normal(0, 0.05, shape)
    ),
    "lost more often than won": lambda rng, shape: rng.choice([-1.0, 0.0, 1.0], shape, p=[0.1, 0.85, 0.05]),
    "four samples a question": lambda rng, shape: (rng.binomial(4, 0.45, shape) - rng.binomial(4, 0.5, shape)) / 4,
    "spread evenly": lambda rng, shape: rng.uniform(-1, 0.9, shape),
}
"""Differences of graded rewards whose mean is -0.05."""


def graded(gates: int) -> Iterator[dict[str, Any]]:
    """Yield how often a candidate passes whose graded rewards dropped by the margin of 0.05, by kind and questions."""
    for kind, draw in GRADED_KINDS.items():
        for most, looks in ((60, 4), (100, 1), (200, 4), (400, 4)):
            d_G_n = draw(np.random.default_rng(most), (gates, most))
            open_G, passed_G = np.ones(gates, bool), np.zeros(gates, bool)
            places = looks_at(most, looks)
            for place, bound in zip(places, bounds_at(0.05, places, most), strict=True):
                mean_G, deviation_G = d_G_n[:, :place].mean(1), d_G_n[:, :place].std(1, ddof=1)
                apart_G_n = d_G_n[:, :place] - mean_G[:, None]
                spread_G = np.maximum((apart_G_n**2).mean(1), EQUAL)
                z_G = graded_z(place, mean_G, deviation_G, (apart_G_n**3).mean(1) / spread_G**1.5, -0.05)
                passed_G |= open_G & (z_G >= bound)
                open_G &= np.abs(z_G) < bound
            yield {"kind": kind, "questions": most, "looks": looks, "pass": float(passed_G.mean())}


def graded_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results of graded rewards as Markdown, a kind a line."""
    sizes = list(dict.fromkeys((row["questions"], row["looks"]) for row in rows))
    heads = [f"{n} questions, {looks} look{'s' if looks > 1 else ''}" for n, looks in sizes]
    lines = [f"| graded differences, on average 0.05 below | {' | '.join(heads)} |", "|---" * (len(sizes) + 1) + "|"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        passed = [f"{row['pass']:.3f}" for row in rows if row["kind"] == kind]
        lines.append(f"| {kind} | {' | '.join(passed)} |")
    return "\n".join(lines)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| alpha | margin | the two differ on | questions | looks | false release where the true drop is the margin | "
        "an equal candidate passes | questions it takes on average |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        equal = row["equal"]
        lines.append(
            f"| {row['alpha']:.2f} | {row['margin']:.2f} | {100 * row['discordance']:.0f}% | {row['questions']} | "
            f"{row['looks']} | {row['at_margin']['pass']:.3f} | {equal['pass']:.3f} | {equal['questions']:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    rows, of_grades = list(cells(GATES)), list(graded(GATES))
    made = {"gates": GATES, "cells": rows, "graded": of_grades, "lost_15_points": large_drops()}
    tables = f"{table(rows)}\n\n{graded_table(of_grades)}"
    results.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    write_between(page, BEGIN, END, tables)
    print(tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
