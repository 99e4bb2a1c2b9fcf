"""Compare a routing rule with what each channel would really have gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastslow.metrics.bootstrap import over_examples
from fastslow.metrics.intervals import Estimate

ROUTES: tuple[str, ...] = ("skip", "fast", "slow", "both")
"""In the order that settles ties: where no channel gains anything, the best route is to leave the example alone."""
TIE = 1e-9
"""Gains that differ by less count as equal."""


@dataclass(frozen=True)
class RuleReport:
    """The decisions of one rule against the measured gains.

    `gain` is the mean measured gain of the routes taken; `regret_constant` is how much more the best constant route
    would have gained, `regret_oracle` how much more the best route of every single example. `agreement` is the share of
    examples for which no route gained more than the one taken, where SKIP gains 0;
    `confusion[best][taken]` counts examples, and a route that ties with the best as the best.
    """

    gain: Estimate
    regret_constant: Estimate
    regret_oracle: Estimate
    agreement: Estimate
    confusion: Mapping[str, Mapping[str, int]]


def judge_rule(
    taken: Sequence[str], gains: Sequence[Mapping[str, tuple[float, float]]], *, seed: int = 0
) -> RuleReport:
    """Compare a rule's routes with the gains. `taken`: the route of each example; `gains`: per example, route -> two
    independent estimates of its gain.

    The best route is chosen by one estimate and valued by the other, both ways round: choosing and valuing by the same
    noisy number would overstate the oracle. The best constant is chosen anew in each bootstrap sample.
    """
    worth_N_R = np.array([[sum(_pair(g, r)) / 2 for r in ROUTES] for g in gains])
    halves_N_R_2 = np.array([[_pair(g, r) for r in ROUTES] for g in gains])
    best_N_2 = halves_N_R_2.argmax(axis=1)
    rows = np.arange(len(gains))
    oracle_N = (halves_N_R_2[rows, best_N_2[:, 0], 1] + halves_N_R_2[rows, best_N_2[:, 1], 0]) / 2
    taken_N = np.array([ROUTES.index(route) for route in taken])
    mine_N = worth_N_R[rows, taken_N]
    most_N = worth_N_R.max(axis=1)
    agrees_N = (mine_N >= most_N - TIE) & ((most_N > TIE) | (taken_N == ROUTES.index("skip")))
    label_N = np.where(agrees_N, taken_N, worth_N_R.argmax(axis=1))
    confusion = {best: dict.fromkeys(ROUTES, 0) for best in ROUTES}
    for best, route in zip(label_N, taken, strict=True):
        confusion[ROUTES[best]][route] += 1
    return RuleReport(
        gain=over_examples(len(gains), lambda pick: float(mine_N[pick].mean()), seed),
        regret_constant=over_examples(
            len(gains), lambda pick: float(worth_N_R[pick].mean(axis=0).max() - mine_N[pick].mean()), seed
        ),
        regret_oracle=over_examples(len(gains), lambda pick: float((oracle_N - mine_N)[pick].mean()), seed),
        agreement=over_examples(len(gains), lambda pick: float(agrees_N[pick].mean()), seed),
        confusion=confusion,
    )


def calibration(expected: Sequence[float], measured: Sequence[float], bins: int = 3) -> list[tuple[float, float, int]]:
    """Return (mean expected, mean measured, count) of equal shares of the decisions, by rising expected gain."""
    order = np.argsort(np.array(expected), kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, len(order)))) if len(part)]
    return [(float(np.mean(np.take(expected, p))), float(np.mean(np.take(measured, p))), len(p)) for p in parts]


def _pair(gains: Mapping[str, tuple[float, float]], route: str) -> tuple[float, float]:
    return (0.0, 0.0) if route == "skip" else tuple(gains[route])
