"""Decisions keep every channel above its floor, and controls are never changed."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers import RouteDecider, make_router


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
