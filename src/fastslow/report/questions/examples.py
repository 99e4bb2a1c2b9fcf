"""Rollouts to read: what was asked, answered and said of it, under each context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastslow.report.reading.data import RunData, count, number, text

PER_CONTEXT = 3
CONTEXTS = 4
LONGEST_TEXT = 1_500


@dataclass(frozen=True)
class Example:
    """One rollout; `reward` is None where it was unscored."""

    task: str
    question: str
    completion: str
    feedback: str
    reward: float | None
    reused: bool


@dataclass(frozen=True)
class Shelf:
    """Rollouts of one context at one step."""

    step: int
    context_id: str
    examples: list[Example]


def shelves(run: RunData) -> list[Shelf]:
    """Of the first and the last step recorded: up to CONTEXTS contexts with up to PER_CONTEXT rollouts each, of
    different rewards where there are some."""
    by_step: dict[int, dict[str, list[Mapping[str, Any]]]] = {}
    for row in run.rollouts:
        step = count(row.get("step"))
        if step is not None:
            by_step.setdefault(step, {}).setdefault(text(row.get("context_id"), "unknown"), []).append(row)
    steps = sorted(by_step)
    return [
        Shelf(step, name, [_example(row) for row in _chosen(rows)])
        for step in dict.fromkeys([*steps[:1], *steps[-1:]])
        for name, rows in list(by_step[step].items())[:CONTEXTS]
    ]


def cut(value: Any) -> str:
    """A text for the page: not longer than a screen or two."""
    shown = value if isinstance(value, str) else text(value, "(not text)")
    return (
        shown
        if len(shown) <= LONGEST_TEXT
        else shown[:LONGEST_TEXT] + f" … ({len(shown) - LONGEST_TEXT} more characters)"
    )


def _chosen(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One of each reward first, from both ends inwards, then whatever comes."""
    by_reward: dict[float | None, Mapping[str, Any]] = {}
    for row in rows:
        by_reward.setdefault(number(row.get("reward")), row)
    distinct = sorted(by_reward.items(), key=lambda item: -1.0 if item[0] is None else item[0], reverse=True)
    first = [row for _, row in [*distinct[:2], *distinct[-1:]]]
    picked: list[Mapping[str, Any]] = []
    for row in [*first, *rows]:
        if not any(row is one for one in picked):
            picked.append(row)
    return picked[:PER_CONTEXT]


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        task=text(row.get("task"), ""),
        question=cut(row.get("question")),
        completion=cut(row.get("completion")),
        feedback=cut(row.get("feedback") or ""),
        reward=number(row.get("reward")),
        reused=row.get("reused") is True,
    )
