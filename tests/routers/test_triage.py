"""Triage lets rest what teaches nothing, tries it again, and never plans for more than a step has room for."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.errors import FastSlowError
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming
from fastslow.routers import RouteDecider, make_router

G = 4
DEAD, LIVE, SOLVED = (0.0,) * G, (0.0, 1.0, 1.0, 0.0), (1.0,) * G


def group(topic: str, rewards: tuple[float, ...], step: int = 0, example: str = "") -> GroupEvidence:
    n = len(rewards)
    return GroupEvidence(step, example or f"{topic}-{step}", topic, ("c",) * n, rewards, (5,) * n)


def taught(spec: str = "triage", *, groups: int = 40, seed: int = 0) -> Any:
    """A rule that has seen many groups of three topics."""
    router: Any = make_router(spec, seed=seed)
    for number in range(groups):
        for topic, rewards in (("dead", DEAD), ("live", LIVE), ("solved", SOLVED)):
            router.observe(group(topic, rewards, example=f"{topic}-{number}"), Route.BOTH)
    return router


def upcoming(topic: str, count: int, step: int = 0) -> list[Upcoming]:
    return [Upcoming(step, f"new-{topic}-{number}", topic, G) for number in range(count)]


@pytest.mark.parametrize(
    ("topic", "rollouts", "route"), [("dead", 0, Route.FAST), ("solved", 0, Route.SKIP), ("live", G, None)]
)
def test_what_a_topic_showed_decides_for_its_new_examples(topic: str, rollouts: int, route: Route | None) -> None:
    plans = taught("triage:0.2,0,0").plan(upcoming(topic, 100))
    assert Counter((p.rollouts, p.route) for p in plans)[rollouts, route] >= 98


def test_examples_of_which_nothing_is_known_are_rolled_out() -> None:
    plans = make_router("triage:0.2,0,0", seed=0).plan(upcoming("new", 1000))  # type: ignore[attr-defined]
    assert 750 < sum(p.rollouts == G for p in plans) < 850, "a chance drawn evenly is above 0.2 in four of five cases"


def test_an_example_differs_from_its_topic_once_its_own_groups_do() -> None:
    routes = Counter()
    for seed in range(20):
        router = taught("triage:0.2,0,0", seed=seed)
        for _ in range(12):
            router.observe(group("live", SOLVED, example="easy"), Route.BOTH)
        easy, other = router.plan([Upcoming(0, "easy", "live", G), Upcoming(0, "other", "live", G)])
        routes[easy.route, other.rollouts] += 1
    assert routes[Route.SKIP, G] >= 17, routes


def test_what_rests_is_tried_again_as_time_passes() -> None:
    router = taught("triage:0.2,0,0")
    tried = [sum(p.rollouts > 0 for p in router.plan(upcoming("dead", 200, step))) for step in (0, 12, 24)]
    assert tried[0] < 10 < tried[1] < 100 < tried[2]


def test_a_share_of_what_rests_is_rehearsed() -> None:
    plans = taught("triage:0.2,0.3,0").plan(upcoming("solved", 1000))
    rehearsed = [p for p in plans if p.why.get("why") == "rehearsed"]
    assert 250 < len(rehearsed) < 350
    assert all(p.rollouts == G and p.route is None for p in rehearsed)


def test_the_freed_rollouts_go_to_the_most_open_examples() -> None:
    router = taught("triage:0.2,0,0.5")
    for number in range(40):  # half of its groups are live
        router.observe(group("open", LIVE if number % 2 else DEAD, example=f"open-{number}"), Route.BOTH)
    plans = router.plan([*upcoming("dead", 4), *upcoming("live", 2), *upcoming("open", 2)])
    assert [p.rollouts for p in plans] == [0, 0, 0, 0, G, G, 2 * G, 2 * G], "of the four that rest, half are passed on"


def test_a_double_group_counts_as_two() -> None:
    one, two = (make_router("triage", seed=0) for _ in range(2))
    one.plan(upcoming("t", 1)), two.plan(upcoming("t", 1))  # type: ignore[attr-defined]
    one.observe(group("t", SOLVED + DEAD, example="e"), Route.BOTH)  # type: ignore[attr-defined]
    for rewards in (SOLVED, DEAD):
        two.observe(group("t", rewards, example="e"), Route.BOTH)  # type: ignore[attr-defined]
    assert one.state_dict() == two.state_dict()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([DEAD, LIVE, SOLVED])), max_size=60),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=12),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_a_step_never_holds_more_groups_than_it_has_examples(past, batch, limit, rehearsal, more, seed) -> None:
    router: Any = make_router(f"triage:{limit},{rehearsal},{more}", seed=seed)
    for step, (topic, rewards) in enumerate(past):
        router.observe(group(topic, rewards, step // 8), Route.BOTH)
    asked = [Upcoming(len(past) // 8, f"{topic}{n}", topic, G) for n, topic in enumerate(batch)]
    plans = RouteDecider(router, min_slow=0.05).plan(asked)
    assert sum(p.rollouts for p in plans) <= G * len(batch)
    assert all(p.rollouts in (0, G, 2 * G) for p in plans)


def test_its_state_survives_a_checkpoint() -> None:
    one, other = taught(), make_router("triage", seed=0)
    one.plan(upcoming("live", 1))
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    asked = [*upcoming("dead", 9, 3), *upcoming("live", 9, 3), *upcoming("solved", 9, 3)]
    assert other.plan(asked) == one.plan(asked)  # type: ignore[attr-defined]
    assert other.state_dict() == one.state_dict()


def test_planning_draws_nothing_from_the_global_state() -> None:
    router, before = taught(), random.getstate()
    first = router.plan(upcoming("live", 5))
    random.random()
    assert router.plan(upcoming("live", 5)) == first
    random.setstate(before)
    assert all(isinstance(plan, Plan) for plan in first)


def test_in_another_run_topics_are_known_as_of_its_start_and_examples_are_not() -> None:
    router: Any = make_router("triage", seed=0)
    for step in range(30):
        router.observe(group("a", DEAD, step=step, example="1"), Route.BOTH)
    RouteDecider(router).begin_anew()
    state: Any = router.state_dict()
    assert state["examples"] == {}
    assert state["topics"]["a"]["step"] == 0
    assert state["topics"]["a"]["all"] > 1
    other = make_router("variance", seed=0)
    RouteDecider(other).begin_anew()  # it knows neither steps nor examples


def test_a_rule_of_the_users_that_cannot_begin_anew_is_one_line() -> None:
    router: Any = make_router("both", seed=0)
    router.begin_anew = lambda: 1 / 0
    with pytest.raises(FastSlowError, match="router 'both' could not begin anew: ZeroDivisionError"):
        RouteDecider(router).begin_anew()
