"""The routing rules on groups with known right answers, and the shares kept above their floors."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastslow import routers
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers import RouteDecider
from fastslow.routers.group import spread
from fastslow.routers.learned import FEATURES
from tests.support.present import present

make_router: Callable[..., Any] = routers.make_router  # `observe` and `explain` are optional, and in no protocol

RULES = ("success_gate", "threshold", "variance", "learned")


def group(
    *rewards_by_context: Sequence[float | None], step: int = 0, example_id: str = "e", task: str = "t"
) -> GroupEvidence:
    """One context for every list of rewards."""
    contexts = [f"c{i}" for i, some in enumerate(rewards_by_context) for _ in some]
    rewards = [r for some in rewards_by_context for r in some]
    n = len(rewards)
    return GroupEvidence(step, example_id, task, tuple(contexts), tuple(rewards), (5,) * n, (0.3,) * n)


SOLVED = group([1, 1, 1, 1], [1, 1, 1, 1])
UNSOLVED = group([0, 0, 0, 0], [0, 0, 0, 0])
BY_CONTEXT = group([1, 1, 1, 1], [0, 0, 0, 0])
BY_LUCK = group([1, 0, 1, 0], [0, 1, 1, 0])
BY_BOTH = group([1, 1, 1, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 0])
UNSCORED = group([None, None], [None, None])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # in the order of GROUPS below
        ("success_gate", "slow fast slow slow slow skip"),
        ("success_gate:0.6", "slow fast fast fast fast skip"),
        ("threshold:0.4", "slow fast slow slow slow skip"),
        ("threshold:0.9", "slow fast fast fast fast skip"),
        ("variance:0.25,0", "skip fast fast slow both skip"),
        ("variance:0,0", "skip fast both both both skip"),
        ("variance:0.25,1", "both fast fast slow both skip"),
    ],
)
def test_a_rule_on_groups_with_known_answers(spec: str, expected: str) -> None:
    router = make_router(spec, seed=0)
    groups = (SOLVED, UNSOLVED, BY_CONTEXT, BY_LUCK, BY_BOTH, UNSCORED)
    assert [router.route(e).value for e in groups] == expected.split()


def test_limits_belong_to_the_side_their_documentation_says() -> None:
    half = group([1, 0], [1, 0])
    assert make_router("success_gate:0.5", seed=0).route(half) is Route.FAST
    assert make_router("threshold:0.5", seed=0).route(half) is Route.FAST
    assert make_router("threshold:0.49", seed=0).route(half) is Route.SLOW


@pytest.mark.parametrize(
    "spec", ["success_gate:x", "success_gate:1.1", "threshold:-0.1", "threshold:0.1,0.2", "variance:0.6", "learned:nan",
             "variance:0.1,0.2,0.3", "learned:2", "threshold:nan"],
)  # fmt: skip
def test_arguments_a_rule_does_not_take_are_refused_with_an_example(spec: str) -> None:
    with pytest.raises(BadInput, match=r"give a number from .* as in "):
        make_router(spec, seed=0)


@settings(max_examples=60, deadline=None)
@given(
    rewards=st.lists(st.sampled_from([None, 0.0, 0.3, 1.0]), min_size=4, max_size=12),
    contexts=st.integers(1, 3),
    order=st.randoms(use_true_random=False),
)
@pytest.mark.parametrize("spec", RULES)
def test_a_route_depends_neither_on_the_order_of_rollouts_nor_of_contexts(spec, rewards, contexts, order) -> None:
    rows = [(f"c{i % contexts}", reward, 4 + i, 0.1 * i) for i, reward in enumerate(rewards)]
    mixed = list(rows)
    order.shuffle(mixed)

    def evidence(rows: list) -> GroupEvidence:
        columns = [tuple(column) for column in zip(*rows, strict=True)]
        return GroupEvidence(3, "e", "t", *columns)

    one, other = make_router(spec, seed=0), make_router(spec, seed=0)
    for step in range(3):  # also of what is remembered
        before, after = evidence(rows), evidence(mixed)
        assert one.route(before) is other.route(after), step
        for router, e in ((one, before), (other, after)):
            if hasattr(router, "observe"):
                router.observe(e, Route.BOTH)
    assert one.state_dict() == other.state_dict()


@pytest.mark.parametrize("spec", RULES)
def test_asking_changes_nothing(spec: str) -> None:
    router = make_router(spec, seed=1)
    before = json.dumps(router.state_dict())
    routes = {router.route(BY_LUCK) for _ in range(5)}
    if hasattr(router, "explain"):
        json.dumps(router.explain(BY_LUCK), allow_nan=False)
    assert len(routes) == 1
    assert json.dumps(router.state_dict()) == before


def test_the_variance_components_are_those_that_made_the_groups() -> None:
    """Averages over many groups of 4 contexts x 4 rollouts: both estimators are unbiased."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        means = rng.normal(0, 2.0, size=4)
        found.append(spread({f"c{i}": list(rng.normal(m, 3.0, size=4)) for i, m in enumerate(means)}))
    assert np.mean(np.asarray([s.between for s in found], dtype=float)) == pytest.approx(4.0, rel=0.08)
    assert np.mean(np.asarray([s.within for s in found], dtype=float)) == pytest.approx(9.0, rel=0.03)


def test_uneven_groups_and_single_rollouts_are_no_trouble() -> None:
    assert spread({"a": [1.0], "b": [0.0]}).within is None
    assert spread({"a": [1.0], "b": [0.0]}).between is None
    assert spread({"a": [1.0], "b": [0.0]}).total == 0.5
    assert spread({"a": [1.0, 0.0]}).between is None
    assert spread({"a": [1.0, 0.0]}).within == 0.5
    uneven = spread({"a": [1.0, 1.0, 1.0], "b": [0.0]})
    assert uneven.within == 0.0
    assert present(uneven.between) > 0


def test_what_is_known_of_neighbours_decides_where_one_group_cannot() -> None:
    """One rollout a context cannot tell text from luck; neighbours with more can."""
    single = group([1], [0], [1], [0], example_id="new")
    lucky, textual = make_router("variance", seed=0), make_router("variance", seed=0)
    for i in range(6):
        lucky.observe(group([1, 0, 1, 0], [0, 1, 0, 1], example_id=f"l{i}"), Route.BOTH)
        textual.observe(group([1, 1, 1, 1], [0, 0, 0, 0], example_id=f"t{i}"), Route.BOTH)
    assert lucky.route(single) is Route.SLOW
    assert textual.route(single) is Route.FAST
    assert make_router("variance", seed=0).route(single) is Route.BOTH


def test_groups_that_cannot_tell_text_from_luck_teach_nothing() -> None:
    """One rollout under each context, step after step: the rule knows as little at the end as at the start."""
    router = make_router("variance", seed=0)
    for i in range(20):
        e = group([1], [0], [1], [0], example_id=f"e{i % 4}", step=i)
        assert router.route(e) is Route.BOTH
        router.observe(e, Route.BOTH)


def test_one_context_says_nothing_about_texts() -> None:
    alone, lucky = group([1, 0, 1, 0]), make_router("variance", seed=0)
    assert lucky.route(alone) is Route.BOTH
    for i in range(6):
        lucky.observe(group([1, 0, 1, 0], [0, 1, 0, 1], example_id=f"l{i}"), Route.BOTH)
    assert lucky.route(alone) is Route.SLOW


def test_an_estimate_below_nothing_counts_as_nothing() -> None:
    """Groups whose contexts happen to do alike have a negative estimate between them: no evidence against a text."""
    router = make_router("variance", seed=0)
    for i in range(6):
        router.observe(group([1, 0, 1, 0], [0, 1, 0, 1], example_id=f"l{i}"), Route.BOTH)
    assert router.explain(group([1, 1], [0, 0]))["between"] == pytest.approx(4 / 12 * 0.5)


def test_an_example_that_changed_its_cluster_still_knows_its_own_past() -> None:
    router = make_router("variance", seed=0)
    for step in range(6):
        router.observe(group([1, 1], [0, 0], step=step, task="c0"), Route.BOTH)
    assert router.route(group([1], [0], task="c1")) is Route.FAST


@pytest.mark.parametrize("rewards", [([1.0], [None], [None], [None]), ([1.0, 1.0], [None, None])])
def test_what_was_not_scored_everywhere_is_not_solved(rewards) -> None:
    assert make_router("variance", seed=0).explain(group(*rewards)) == {"why": "no gradient"}


def test_neighbours_of_another_task_do_not_count() -> None:
    router = make_router("variance", seed=0)
    for i in range(6):
        router.observe(group([1, 1], [0, 0], example_id=f"e{i}", task="other"), Route.BOTH)
    assert router.route(group([1], [0], example_id="new", task="mine")) is Route.BOTH


def test_a_solved_example_is_rehearsed_at_its_rate() -> None:
    router = make_router("variance:0.25,0.2", seed=0)
    routes = [router.route(group([1, 1], [1, 1], example_id=f"e{i}")) for i in range(2000)]
    assert routes.count(Route.BOTH) / 2000 == pytest.approx(0.2, abs=0.03)
    assert set(routes) == {Route.BOTH, Route.SKIP}


def world(router, visits: int, paying: Route) -> list[Route]:
    """Examples that come back 40 at a time: the route `paying` lifts their success by 0.5, every other by nothing."""
    rng, taken, debt = random.Random(0), [], {}
    for visit in range(visits):
        for i in range(40):
            name = f"e{i}"
            rate = 0.25 + 0.5 * debt.pop(name, 0.0)
            rewards = [float(rng.random() < rate) for _ in range(8)]
            e = group(rewards[:4], rewards[4:], step=visit * 5, example_id=name)
            route = router.route(e)
            router.observe(e, route)
            taken.append(route)
            if route is paying:
                debt[name] = 1.0
    return taken


@pytest.mark.parametrize("paying", [Route.FAST, Route.SLOW])
def test_the_bandit_learns_which_route_pays(paying: Route) -> None:
    taken = world(make_router("learned", seed=0), 30, paying)
    late = taken[-400:]
    assert late.count(paying) / len(late) > 0.6
    assert min(late.count(route) for route in Route) > 0, "the exploration floor keeps every route alive"


def test_the_bandit_starts_from_both_and_leaves_nothing_alone_that_it_knows_nothing_of() -> None:
    router = make_router("learned:0", seed=0)
    for step in range(12):
        for i in range(6):
            e = group([1, 0], [i % 2, 1], step=step, example_id=f"{step}-{i}")
            assert router.route(e) is Route.BOTH
            router.observe(e, Route.BOTH)


def test_a_group_that_comes_twice_in_a_step_shows_no_progress() -> None:
    router = make_router("learned", seed=0)
    router.observe(group([0, 0], [0, 0], step=3), Route.SLOW)
    before = router.state_dict()["moment"]
    router.observe(group([1, 1], [1, 1], step=3), Route.SLOW)
    assert router.state_dict()["moment"] == before
    router.observe(group([1, 1], [1, 1], step=4), Route.SLOW)
    assert router.state_dict()["moment"] != before


def test_the_bandit_goes_on_as_before_after_its_state_went_through_json() -> None:
    router, fresh = make_router("learned", seed=0), make_router("learned", seed=0)
    world(router, 6, Route.SLOW)
    fresh.load_state_dict(json.loads(json.dumps(router.state_dict())))
    assert world(fresh, 4, Route.SLOW) == world(router, 4, Route.SLOW)


def test_the_bandit_explains_itself() -> None:
    router = make_router("learned:0", seed=0)
    world(router, 4, Route.FAST)
    why = router.explain(BY_LUCK)
    assert set(why["gain"]) == set(why["doubt"]) == {"fast", "slow", "both", "skip"}
    assert list(why["features"]) == list(FEATURES)
    assert why["explored"] is False
    assert max(why["gain"], key=lambda r: why["gain"][r] + why["doubt"][r]) == router.route(BY_LUCK).value


# Shares


class Says:
    name = "says"

    def __init__(self, route: Route):
        self.answer = route

    def route(self, evidence: GroupEvidence) -> Route:
        return self.answer

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


def step_of_eight(step: int) -> list[GroupEvidence]:
    return [group([1] * i + [0] * (8 - i), step=step, example_id=f"e{step}-{i}") for i in range(8)]


@pytest.mark.parametrize(("answer", "other"), [(Route.FAST, "slow"), (Route.SLOW, "fast")])
def test_a_channel_that_the_rule_starves_gets_its_floor(answer: Route, other: str) -> None:
    decider = RouteDecider(Says(answer), min_fast=0.125, min_slow=0.125)
    decisions = [d for step in range(8) for d in decider.decide(step_of_eight(step))]
    raised = [d for d in decisions if getattr(d.route, other)]
    assert len(raised) == 8
    assert {(d.route, d.rule) for d in raised} == {(Route.BOTH, answer)}
    assert decider.shares()[other] == 0.125
    assert decider.starved() == [other]


def test_the_floor_takes_the_groups_with_most_to_learn_from() -> None:
    decider = RouteDecider(Says(Route.SKIP), min_slow=0.25)
    decisions = decider.decide(step_of_eight(0))
    assert [i for i, d in enumerate(decisions) if d.route is Route.SLOW] == [3, 4]


def test_the_floors_of_both_channels_hold_together() -> None:
    decider = RouteDecider(Says(Route.SKIP), min_fast=0.5, min_slow=0.5)
    for step in range(8):
        decider.decide(step_of_eight(step))
    assert decider.shares() == {"fast": 0.5, "slow": 0.5}


@pytest.mark.parametrize("spec", ["both", "fast", "slow", "skip", "random:0,0"])
def test_a_control_is_taken_at_its_word(spec: str) -> None:
    decider = RouteDecider(make_router(spec, seed=0), min_fast=0.5, min_slow=0.5)
    for step in range(10):
        assert all(d.route is d.rule for d in decider.decide(step_of_eight(step)))
    assert decider.starved() == []


def test_a_rule_that_feeds_both_channels_is_left_alone() -> None:
    decider = RouteDecider(Says(Route.BOTH), min_fast=0.05, min_slow=0.05)
    for step in range(10):
        assert {d.route for d in decider.decide(step_of_eight(step))} == {Route.BOTH}
    assert decider.starved() == []


def test_decisions_go_on_as_before_after_a_resume() -> None:
    def decider() -> RouteDecider:
        return RouteDecider(make_router("variance", seed=3), min_fast=0.2, min_slow=0.2)

    whole, first, second = decider(), decider(), decider()
    expected = [whole.decide(step_of_eight(step)) for step in range(12)]
    found = [first.decide(step_of_eight(step)) for step in range(5)]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [*found, *(second.decide(step_of_eight(step)) for step in range(5, 12))] == expected


class Noisy(Says):
    def explain(self, evidence: GroupEvidence) -> dict:
        return {"gain": float("nan")}


class Failing(Says):
    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        raise KeyError("x")


def test_a_rule_that_cannot_explain_or_observe_is_named_with_the_example() -> None:
    with pytest.raises(FastSlowError, match="router 'says' cannot explain example e"):
        RouteDecider(Noisy(Route.BOTH)).decide([BY_LUCK])
    with pytest.raises(FastSlowError, match="router 'says' failed to observe e"):
        RouteDecider(Failing(Route.BOTH)).decide([BY_LUCK])


@pytest.mark.parametrize("spec", RULES)
def test_a_step_is_decided_in_milliseconds(spec: str) -> None:
    """A step of the smallest run takes seconds; a router may cost 1 % of it. No timing is asserted closely."""
    decider = RouteDecider(make_router(spec, seed=0), min_fast=0.05, min_slow=0.05)
    for step in range(20):
        decider.decide(step_of_eight(step))
    best = min(_timed(lambda step=step: decider.decide(step_of_eight(step))) for step in range(20, 30))
    assert best < 0.05


def _timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
