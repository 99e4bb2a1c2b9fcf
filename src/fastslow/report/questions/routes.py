"""The channel that took up each group, over time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fastslow.report.reading.data import ROUTES, RunData

BINS = 60
KINDS = (*ROUTES, "other")


@dataclass(frozen=True)
class Slice:
    """Shares of the groups between two steps, by KINDS; the shares add up to 1."""

    first: int
    last: int
    shares: dict[str, float]


def slices(run: RunData) -> list[Slice]:
    """Cut the run into at most BINS slices of equal numbers of recorded steps."""
    steps = sorted(run.routes)
    width = max(1, -(-len(steps) // BINS))
    parts = [steps[at : at + width] for at in range(0, len(steps), width)]
    return [Slice(part[0], part[-1], shares(sum((run.routes[s] for s in part), Counter()))) for part in parts]


def shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {kind: counts[kind] / total for kind in KINDS if counts[kind]} if total else {}
