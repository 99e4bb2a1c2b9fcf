"""Turn the answers of a rule into decisions that keep each channel above its smallest share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import FastSlowError
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming
from fastslow.routers.base import Router, checked_plans, checked_route, checked_state, groups_of, plans_ahead
from fastslow.routers.group import mean

WINDOW = 64
"""Number of latest groups over which shares are counted."""


@dataclass(frozen=True)
class Decision:
    """Hold the route that a group takes, the route of the rule, and the reasons of the rule."""

    route: Route
    rule: Route
    why: Mapping[str, Any] = field(default_factory=dict)


class RouteDecider:
    """Ask `router` about the groups of a step, and keep the share of each channel above its floor.

    A rule may starve a channel unnoticed. Where a channel would get less than its floor over the last 64 groups, the
    groups with the largest reward variance, from which the channel has most to gain, go to that channel as well; and
    where too few groups would be rolled out for the weights to get theirs, examples that were to rest do not.
    Decisions of the controls (`both`, `fast`, `slow`, `skip`, `random`) are never changed.

    Args:
        router: the rule.
        min_fast, min_slow: smallest share of the groups for each channel, in [0, 1].
    """

    def __init__(self, router: Router, *, min_fast: float = 0.0, min_slow: float = 0.0):
        self.router = router
        free = getattr(router, "control", False)
        self._floors = {"fast": 0.0 if free else min_fast, "slow": 0.0 if free else min_slow}
        self._recent: list[Route] = []

    @property
    def name(self) -> str:
        return self.router.name

    @property
    def plans_ahead(self) -> bool:
        """Whether the rule has a say before the rollouts."""
        return plans_ahead(self.router)

    def plan(self, upcoming: Sequence[Upcoming]) -> list[Plan]:
        """Return how many rollouts each example of a step gets, in order: G each for a rule that does not plan.

        Raises FastSlowError where a rule of the user's fails or plans what cannot be done.
        """
        plans = checked_plans(self.router, upcoming)
        made = [plan.rollouts > 0 and (plan.route is None or plan.route.slow) for plan in plans]
        lacking = self._lacking("slow", made)
        resting = [place for place, plan in enumerate(plans) if not plan.rollouts]
        for place in resting:
            room = len(plans) - sum(groups_of(p.rollouts, u.rollouts) for p, u in zip(plans, upcoming, strict=True))
            if lacking <= 0 or room <= 0:
                break
            plans[place], lacking = Plan(upcoming[place].rollouts, why={"why": "smallest share"}), lacking - 1
        return plans

    def decide(self, evidence: Sequence[GroupEvidence], plans: Sequence[Plan] | None = None) -> list[Decision]:
        """Return one decision for each group, in order; then let the rule and the shares observe the decisions.

        Args:
            evidence: of each example of the step; without rollouts for one that rests.
            plans: what `plan` returned; None: the rule decides on every group by its evidence.

        Raises FastSlowError where a rule of the user's fails or returns anything but a Route.
        """
        plans = [Plan(len(e.rewards_G)) for e in evidence] if plans is None else plans
        rules = [self._rule(e, plan) for e, plan in zip(evidence, plans, strict=True)]
        whys = [
            {**plan.why, **(_explained(self.router, e) if plan.rollouts else {})}
            for e, plan in zip(evidence, plans, strict=True)
        ]
        routes = self._above_floors(evidence, rules)
        for e, plan, route in zip(evidence, plans, routes, strict=True):
            if plan.rollouts:
                _observe(self.router, e, route)
        self._recent = [*self._recent, *routes][-WINDOW:]
        return [Decision(*decision) for decision in zip(routes, rules, whys, strict=True)]

    def _rule(self, evidence: GroupEvidence, plan: Plan) -> Route:
        if plan.route is not None:
            return plan.route
        return checked_route(self.router, evidence) if plan.rollouts else Route.SKIP

    def shares(self) -> dict[str, float]:
        """Return the share of the last groups that went to each channel; empty before the first group."""
        if not self._recent:
            return {}
        return {channel: mean([float(getattr(r, channel)) for r in self._recent]) for channel in self._floors}

    def starved(self) -> list[str]:
        """Return the channels that got none of the last 64 groups, or no more than their floor."""
        if len(self._recent) < WINDOW or getattr(self.router, "control", False):
            return []
        return [channel for channel, share in self.shares().items() if share <= self._floors[channel]]

    def _above_floors(self, evidence: Sequence[GroupEvidence], rules: Sequence[Route]) -> list[Route]:
        routes = list(rules)
        for channel in self._floors:
            lacking = self._lacking(channel, [getattr(route, channel) for route in routes])
            left = [i for i, route in enumerate(routes) if not getattr(route, channel)]
            if channel == "slow":  # the weights learn nothing from an example that rested
                left = [i for i in left if evidence[i].rewards_G]
            left.sort(key=lambda i: (-_variance(evidence[i]), evidence[i].example_id))
            for i in left[: max(0, lacking)]:
                routes[i] = _with(routes[i], channel)
        return routes

    def _lacking(self, channel: str, given: Sequence[bool]) -> int:
        """Return how many more groups a channel has to get to keep its floor, beyond those of this step that it is
        given; none or a negative number where it has enough."""
        past = self._recent[-(WINDOW - len(given)) :] if len(given) < WINDOW else []
        # Rounded down: a floor of 5 % demands nothing of the first few groups.
        demanded = int(self._floors[channel] * (len(past) + len(given)))
        return demanded - sum(getattr(route, channel) for route in past) - sum(given)

    def state_dict(self) -> dict[str, Any]:
        """Return the state. Raises FastSlowError where the state of a user's rule would not survive a checkpoint."""
        return {"rule": checked_state(self.router), "recent": [route.value for route in self._recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state. Raises FastSlowError where a rule of the user's refuses its own state."""
        try:
            rule = foreign.fresh(state["rule"])
            foreign.call(self.router.load_state_dict, rule, who=f"router '{self.router.name}'")
        except foreign.Failed as fault:
            raise FastSlowError(f"router '{self.router.name}' did not take its state back: {fault}") from fault
        self._recent = [Route(value) for value in state["recent"]]

    def begin_anew(self) -> None:
        """Take the state up in another run, of other examples, whose steps are counted from 0. A rule that knows steps
        or examples has a method of this name. Raises FastSlowError where a rule of the user's raises."""
        forget = getattr(self.router, "begin_anew", None)
        if forget is None:
            return
        try:
            foreign.call(forget, who=f"router '{self.router.name}'")
        except foreign.Failed as fault:
            raise FastSlowError(f"router '{self.router.name}' could not begin anew: {fault}") from fault


def _variance(evidence: GroupEvidence) -> float:
    scored = sorted(r for r in evidence.rewards_G if r is not None)
    return mean([(r - mean(scored)) ** 2 for r in scored]) if scored else -1.0


def _with(route: Route, channel: str) -> Route:
    other = route.slow if channel == "fast" else route.fast
    return Route.BOTH if other else Route(channel)


def _explained(router: Any, evidence: GroupEvidence) -> Mapping[str, Any]:
    """Return the reasons of the rule for routes.jsonl; empty for a rule without `explain`."""
    if not hasattr(router, "explain"):
        return {}

    def why() -> Mapping[str, Any]:
        reasons = foreign.fresh(dict(router.explain(evidence)))
        json.dumps(reasons, allow_nan=False)
        return reasons

    try:
        return foreign.call(why, who=f"router '{router.name}'")
    except foreign.Failed as fault:
        raise FastSlowError(f"router '{router.name}' cannot explain example {evidence.example_id}: {fault}") from fault


def _observe(router: Any, evidence: GroupEvidence, route: Route) -> None:
    if not hasattr(router, "observe"):
        return
    try:
        foreign.call(router.observe, evidence, route, who=f"router '{router.name}'")
    except foreign.Failed as fault:
        raise FastSlowError(f"router '{router.name}' failed to observe {evidence.example_id}: {fault}") from fault
