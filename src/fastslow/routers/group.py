"""Summarise the rewards of one group: success, and variance between and within contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastslow.core.types import GroupEvidence

ROUNDING = 1e-9
"""Rewards that differ by less are equal."""


def rewards_by_context(evidence: GroupEvidence) -> dict[str, list[float]]:
    """Return the scored rewards of each context, in an order independent of slots and arrival."""
    by_context: dict[str, list[float]] = {}
    for context_id, reward in zip(evidence.context_ids_G, evidence.rewards_G, strict=True):
        if reward is not None:
            by_context.setdefault(context_id, []).append(reward)
    return {context_id: sorted(by_context[context_id]) for context_id in sorted(by_context)}


def success(evidence: GroupEvidence) -> float | None:
    """Return the mean of the scored rewards; None where no rollout is scored."""
    scored = sorted(r for r in evidence.rewards_G if r is not None)
    return mean(scored) if scored else None


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True)
class Spread:
    """Hold the variance components of one group (one-way random effects, estimated by the method of moments).

    Attributes:
        total: variance of all rewards.
        between: variance of the contexts' true means. The estimate may be below 0. None for one context, and where no
            context has two scored rollouts.
        within: variance under one context; None where no context has two scored rollouts.
        best_within: variance under the best contexts of the group; None as for `within`.
    """

    total: float
    between: float | None
    within: float | None
    best_within: float | None


def spread(groups: Mapping[str, Sequence[float]]) -> Spread:
    """Estimate the variance components of a group.

    Source: Searle, Casella, McCulloch, Variance Components (1992), section 3.6 (unbalanced one-way ANOVA).
    """
    rows = sum(len(rewards) for rewards in groups.values())
    contexts = len(groups)
    means = {context_id: mean(rewards) for context_id, rewards in groups.items()}
    squares = {c: sum((r - means[c]) ** 2 for r in rewards) for c, rewards in groups.items()}
    grand = sum(sum(rewards) for rewards in groups.values()) / rows
    between_squares = sum(len(rewards) * (means[c] - grand) ** 2 for c, rewards in groups.items())
    total = (between_squares + sum(squares.values())) / max(1, rows - 1)
    if rows == contexts:
        return Spread(total, between=None, within=None, best_within=None)
    within = sum(squares.values()) / (rows - contexts)
    best = [c for c in groups if len(groups[c]) > 1 and means[c] >= max(means.values()) - ROUNDING]
    best_rows = sum(len(groups[c]) - 1 for c in best)
    best_within = sum(squares[c] for c in best) / best_rows if best_rows else within
    if contexts == 1:
        return Spread(total, between=None, within=within, best_within=best_within)
    effective = (rows - sum(len(rewards) ** 2 for rewards in groups.values()) / rows) / (contexts - 1)
    between = (between_squares / (contexts - 1) - within) / effective
    return Spread(total, between=between, within=within, best_within=best_within)
