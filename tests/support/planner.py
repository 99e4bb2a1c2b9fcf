"""A user's router that plans groups of different sizes in turn: whole, none, double, none, one row less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming


class InTurn:
    name = "in turn"

    def __init__(self, arguments: str = "", *, seed: int = 0): ...

    def plan(self, upcoming: Sequence[Upcoming]) -> list[Plan]:
        size = upcoming[0].rollouts
        counts = [size, 0, 2 * size, 0, size - 1]
        return [
            Plan(counts[place % len(counts)], None if counts[place % 5] else Route.FAST)
            for place in range(len(upcoming))
        ]

    def route(self, evidence: GroupEvidence) -> Route:
        return Route.BOTH

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
