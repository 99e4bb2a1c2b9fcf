"""Rollouts to read: question, answer and feedback, under each context."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastslow.report.reading.data import RunData
from fastslow.report.reading.rows import RolloutRow

PER_CONTEXT = 3
CONTEXTS = 4
LONGEST_TEXT = 1_500


@dataclass(frozen=True)
class Shelf:
    """Rollouts of one context at one step."""

    step: int
    context_id: str
    examples: list[RolloutRow]


def shelves(run: RunData) -> list[Shelf]:
    """Choose rollouts of the first and the last recorded step: up to CONTEXTS contexts with up to PER_CONTEXT rollouts
    each, with different rewards where possible."""
    by_step: dict[int, dict[str, list[RolloutRow]]] = {}
    for row in run.rollouts:
        if row.step is not None:
            by_step.setdefault(row.step, {}).setdefault(row.context_id, []).append(row)
    steps = sorted(by_step)
    return [
        Shelf(step, name, [_shown(row) for row in _chosen(rows)])
        for step in dict.fromkeys([*steps[:1], *steps[-1:]])
        for name, rows in list(by_step[step].items())[:CONTEXTS]
    ]


def cut(shown: str) -> str:
    """Cut a text to about two screens of the page."""
    return (
        shown
        if len(shown) <= LONGEST_TEXT
        else shown[:LONGEST_TEXT] + f" … ({len(shown) - LONGEST_TEXT} more characters)"
    )


def _chosen(rows: list[RolloutRow]) -> list[RolloutRow]:
    """Take one rollout of each reward first, from both ends inwards, then the others in their order."""
    by_reward: dict[float | None, RolloutRow] = {}
    for row in rows:
        by_reward.setdefault(row.reward, row)
    distinct = sorted(by_reward.items(), key=lambda item: -1.0 if item[0] is None else item[0], reverse=True)
    first = [row for _, row in [*distinct[:2], *distinct[-1:]]]
    picked: list[RolloutRow] = []
    for row in [*first, *rows]:
        if not any(row is one for one in picked):
            picked.append(row)
    return picked[:PER_CONTEXT]


def _shown(row: RolloutRow) -> RolloutRow:
    return replace(row, question=cut(row.question), completion=cut(row.completion), feedback=cut(row.feedback))
