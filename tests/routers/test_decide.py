"""Decisions keep every channel above its floor, and controls are never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fastslow.core.errors import FastSlowError
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming
from fastslow.routers import RouteDecider, StatelessRouter, make_router


def group(name: str, *rewards: float, step: int = 0) -> GroupEvidence:
    n = len(rewards)
    return GroupEvidence(step, name, "t", ("c",) * n, rewards, (5,) * n)


SURE, LUCKY, MIXED = group("sure", 1, 1, 1, 1), group("lucky", 1, 1, 1, 0), group("mixed", 1, 0, 1, 0)


def test_without_floors_the_rule_decides() -> None:
    decisions = RouteDecider(make_router("threshold", seed=0)).decide([SURE, LUCKY])
    assert [(d.route, d.rule) for d in decisions] == [(Route.SLOW, Route.SLOW)] * 2


def test_the_floor_adds_the_group_with_the_largest_variance() -> None:
    decider = RouteDecider(make_router("threshold:0.1", seed=0), min_fast=0.4)
    decisions = decider.decide([SURE, MIXED, LUCKY])
    assert [d.route for d in decisions] == [Route.SLOW, Route.BOTH, Route.SLOW]
    assert [d.rule for d in decisions] == [Route.SLOW] * 3, "what the rule said is kept"


def test_a_control_is_not_changed() -> None:
    decider = RouteDecider(make_router("slow", seed=0), min_fast=1.0)
    assert [d.route for d in decider.decide([SURE, MIXED])] == [Route.SLOW] * 2


def test_shares_count_the_last_groups() -> None:
    decider = RouteDecider(make_router("threshold", seed=0))
    assert decider.shares() == {}
    decider.decide([SURE, group("failed", 0, 0)])
    assert decider.shares() == {"fast": 0.5, "slow": 0.5}


def test_a_starved_channel_is_named_after_a_full_window() -> None:
    decider = RouteDecider(make_router("threshold", seed=0))
    for step in range(63):
        decider.decide([SURE])
        assert decider.starved() == [], f"after {step + 1} groups it is too early to tell"
    decider.decide([SURE])
    assert decider.starved() == ["fast"]


def test_a_resumed_decider_decides_as_the_first() -> None:
    one, other = (RouteDecider(make_router("variance", seed=0), min_fast=0.3) for _ in range(2))
    one.decide([MIXED, LUCKY])
    other.load_state_dict(one.state_dict())
    assert other.decide([MIXED, SURE]) == one.decide([MIXED, SURE])


G = 4


class Planner(StatelessRouter):
    """Plans what it is told to, and sends to both channels what is rolled out."""

    name = "planner"

    def __init__(self, plans: Any):
        self.plans, self.observed = plans, []

    def plan(self, upcoming: Sequence[Upcoming]) -> Any:
        return self.plans() if callable(self.plans) else self.plans

    def route(self, evidence: GroupEvidence) -> Route:
        return Route.BOTH

    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        self.observed.append(evidence.example_id)


def asked(count: int) -> list[Upcoming]:
    return [Upcoming(0, f"e{number}", "t", G) for number in range(count)]


def test_a_rule_that_does_not_plan_gets_whole_groups() -> None:
    assert RouteDecider(make_router("both", seed=0)).plan(asked(3)) == [Plan(G)] * 3


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ([Plan(G)], "planned 1 examples of the 2"),
        ([Plan(G), Plan(G + 1)], "3 groups in a step of 2"),
        ([Plan(-1), Plan(G)], "whole number"),
        ([Plan(G), Plan(True)], "whole number"),
        ([Plan(2.0), Plan(G)], "whole number"),  # type: ignore[arg-type]
        ([Plan(G), Route.BOTH], "fastslow.core.types.Plan"),
        ([Plan(G, "both"), Plan(G)], "Route or None"),  # type: ignore[arg-type]
        ([Plan(0, Route.SLOW), Plan(G)], "nothing to learn from"),
        (7, "raised"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_plan_that_cannot_be_done_is_refused_by_name(plans: Any, said: str) -> None:
    with pytest.raises(FastSlowError, match="router 'planner'") as caught:
        RouteDecider(Planner(plans)).plan(asked(2))
    assert said in str(caught.value)


def test_a_resting_example_is_neither_asked_about_nor_observed() -> None:
    router = Planner([Plan(0, Route.FAST), Plan(0), Plan(2, Route.SLOW, {"why": "x"}), Plan(3 * G), Plan(G)])
    decider = RouteDecider(router)
    plans = decider.plan(asked(5))
    evidence = [group("e0"), group("e1"), group("e2", 1, 0), group("e3", 1, 0, 1, 1), group("e4", 1, 1)]
    decisions = decider.decide(evidence, plans)
    assert [d.route for d in decisions] == [Route.FAST, Route.SKIP, Route.SLOW, Route.BOTH, Route.BOTH]
    assert dict(decisions[2].why) == {"why": "x"}
    assert router.observed == ["e2", "e3", "e4"]


def test_a_rule_that_lets_everything_rest_does_not_starve_the_weights() -> None:
    decider = RouteDecider(Planner([Plan(0)] * 8), min_fast=0.25, min_slow=0.25)
    for _ in range(10):
        plans = decider.plan(asked(8))
        assert [p.rollouts for p in plans].count(G) == 2
        evidence = [group(f"e{n}", *((1.0, 0.0) if p.rollouts else ())) for n, p in enumerate(plans)]
        assert sum(d.route.slow for d in decider.decide(evidence, plans)) == 2
    assert decider.shares() == {"fast": 0.25, "slow": 0.25}


def test_the_weights_are_not_sent_an_example_that_rests() -> None:
    decider = RouteDecider(Planner([Plan(0), Plan(G, Route.FAST)]), min_slow=1.0)
    plans = decider.plan(asked(2))
    assert [p.rollouts for p in plans] == [G, G], "the floor gives it rollouts first"
    control = Planner([Plan(0), Plan(G, Route.FAST)])
    control.control = True  # type: ignore[attr-defined]
    assert [p.rollouts for p in RouteDecider(control, min_slow=1.0).plan(asked(2))] == [0, G]
