"""From a rule to decisions: what it says, kept above each channel's smallest share, with its reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastslow.core.errors import FastSlowError
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import Router, checked_route, checked_state
from fastslow.routers.group import mean

WINDOW = 64
"""Groups over which shares are counted."""


@dataclass(frozen=True)
class Decision:
    """The route a group takes, what the rule said, and what it said about that."""

    route: Route
    rule: Route
    why: Mapping[str, Any] = field(default_factory=dict)


class RouteDecider:
    """Asks `router` about the groups of a step and keeps the share of each channel above its floor.

    A rule of ours or a user's may starve a channel without anybody noticing. Where over the last 64 groups one would
    get less than its floor, the groups from which it has most to gain (largest reward variance) go there as well.
    Controls (`both`, `fast`, `slow`, `skip`, `random`) are taken at their word.

    Args:
        router: the rule.
        min_fast, min_slow: smallest share of the groups of either channel, in [0, 1].
    """

    def __init__(self, router: Router, *, min_fast: float = 0.0, min_slow: float = 0.0):
        self.router = router
        free = getattr(router, "control", False)
        self._floors = {"fast": 0.0 if free else min_fast, "slow": 0.0 if free else min_slow}
        self._recent: list[Route] = []

    @property
    def name(self) -> str:
        return self.router.name

    def decide(self, evidence: Sequence[GroupEvidence]) -> list[Decision]:
        """One decision a group, in order; then the rule and the shares take note of them.

        Raises FastSlowError where the rule is a user's and fails, or returns what is no route.
        """
        rules = [checked_route(self.router, e) for e in evidence]
        whys = [_explained(self.router, e) for e in evidence]
        routes = self._above_floors(evidence, rules)
        for e, route in zip(evidence, routes, strict=True):
            _observe(self.router, e, route)
        self._recent = [*self._recent, *routes][-WINDOW:]
        return [Decision(*decision) for decision in zip(routes, rules, whys, strict=True)]

    def shares(self) -> dict[str, float]:
        """Share of the last groups that went to each channel; empty before the first."""
        if not self._recent:
            return {}
        return {channel: mean([float(getattr(r, channel)) for r in self._recent]) for channel in self._floors}

    def starved(self) -> list[str]:
        """Channels that got none of the last 64 groups, or will be kept alive by their floor alone."""
        if len(self._recent) < WINDOW or getattr(self.router, "control", False):
            return []
        return [channel for channel, share in self.shares().items() if share <= self._floors[channel]]

    def _above_floors(self, evidence: Sequence[GroupEvidence], rules: Sequence[Route]) -> list[Route]:
        routes = list(rules)
        for channel, floor in self._floors.items():
            past = self._recent[-(WINDOW - len(routes)) :] if len(routes) < WINDOW else []
            # Rounded down: a floor of 5 % asks nothing of the first few groups.
            lacking = int(floor * (len(past) + len(routes))) - sum(getattr(r, channel) for r in [*past, *routes])
            left = [i for i, route in enumerate(routes) if not getattr(route, channel)]
            left.sort(key=lambda i: (-_variance(evidence[i]), evidence[i].example_id))
            for i in left[: max(0, lacking)]:
                routes[i] = _with(routes[i], channel)
        return routes

    def state_dict(self) -> dict[str, Any]:
        """Raises FastSlowError where that of the rule, a user's, would not come back from a checkpoint as it is."""
        return {"rule": checked_state(self.router), "recent": [route.value for route in self._recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises FastSlowError where the rule, a user's, does not take its own state back."""
        try:
            self.router.load_state_dict(state["rule"])
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise FastSlowError(f"router '{self.router.name}' did not take its state back: {problem}") from error
        self._recent = [Route(value) for value in state["recent"]]


def _variance(evidence: GroupEvidence) -> float:
    scored = sorted(r for r in evidence.rewards_G if r is not None)
    return mean([(r - mean(scored)) ** 2 for r in scored]) if scored else -1.0


def _with(route: Route, channel: str) -> Route:
    other = route.slow if channel == "fast" else route.fast
    return Route.BOTH if other else Route(channel)


def _explained(router: Any, evidence: GroupEvidence) -> Mapping[str, Any]:
    """What the rule says of its decision. `explain` is optional; what it returns goes into routes.jsonl."""
    if not hasattr(router, "explain"):
        return {}
    try:
        why = dict(router.explain(evidence))
        json.dumps(why, allow_nan=False)
    except Exception as error:  # a user's own rule may raise anything
        problem = f"{type(error).__name__}: {error}"
        raise FastSlowError(
            f"router '{router.name}' cannot explain example {evidence.example_id}: {problem}"
        ) from error
    return why


def _observe(router: Any, evidence: GroupEvidence, route: Route) -> None:
    if not hasattr(router, "observe"):
        return
    try:
        router.observe(evidence, route)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise FastSlowError(f"router '{router.name}' failed to observe {evidence.example_id}: {problem}") from error
