"""Routers: what a route means, the two built-in rules, and what happens to a rule that misbehaves."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import GroupEvidence, Route, Upcoming
from fastslow.routers import ROUTERS, RouteDecider, make_router
from fastslow.routers.base import checked_route


def evidence(step: int = 0, example_id: str = "e", rewards: tuple[float | None, ...] = (0.0, 1.0)) -> GroupEvidence:
    n = len(rewards)
    return GroupEvidence(step, example_id, "t", ("c",) * n, rewards, (3,) * n)


def routes(router, n: int = 400) -> list[Route]:
    return [router.route(evidence(step, f"e{i}")) for step in range(n // 20) for i in range(20)]


@pytest.mark.parametrize(
    ("route", "fast", "slow"),
    [(Route.BOTH, True, True), (Route.FAST, True, False), (Route.SLOW, False, True), (Route.SKIP, False, False)],
)
def test_a_constant_router_sends_everything_along_its_name(route: Route, fast: bool, slow: bool) -> None:
    router = make_router(route.value, seed=0)
    assert set(routes(router, 40)) == {route}
    assert (route.fast, route.slow) == (fast, slow)
    assert router.name == route.value


def test_the_registry_holds_a_name_for_every_route_the_coin_and_the_rules() -> None:
    rules = ["learned", "success_gate", "threshold", "triage", "variance"]
    assert ROUTERS.names() == sorted(["both", "fast", "random", "skip", "slow", *rules])


def test_a_constant_router_takes_no_arguments() -> None:
    with pytest.raises(BadInput, match=r"'both' takes no arguments, got '0\.5'"):
        make_router("both:0.5", seed=0)


@pytest.mark.parametrize(
    "arguments", ["x", "0.5", "0.5,0.5,0.5,0.5,0", "0,0,1.5", "1.1,0", "0,-0.1", "nan,0.5", "0.5,"]
)
def test_the_coin_refuses_what_is_no_pair_of_probabilities(arguments: str) -> None:
    with pytest.raises(BadInput, match=r"two probabilities in \[0, 1\]"):
        make_router(f"random:{arguments}", seed=0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("1,1", Route.BOTH), ("1,0", Route.FAST), ("0,1", Route.SLOW), ("0,0", Route.SKIP)],
)
def test_certain_coins_send_everything_one_way(arguments: str, expected: Route) -> None:
    assert set(routes(make_router(f"random:{arguments}", seed=3), 200)) == {expected}


def test_the_coins_fall_at_their_own_rates_and_independently() -> None:
    found = Counter(routes(make_router("random:0.8,0.3", seed=0), 4000))
    rate = {route: count / 4000 for route, count in found.items()}
    expected = {Route.BOTH: 0.24, Route.FAST: 0.56, Route.SLOW: 0.06, Route.SKIP: 0.14}
    assert rate == pytest.approx(expected, abs=0.03)


def test_the_coin_without_arguments_is_fair_on_both_channels() -> None:
    found = routes(make_router("random", seed=0), 2000)
    assert sum(r.fast for r in found) / 2000 == pytest.approx(0.5, abs=0.05)
    assert sum(r.slow for r in found) / 2000 == pytest.approx(0.5, abs=0.05)


def test_the_coin_depends_on_seed_step_and_example() -> None:
    base = routes(make_router("random", seed=0), 200)
    assert base != routes(make_router("random", seed=1), 200)
    assert len({make_router("random", seed=0).route(evidence(step)) for step in range(50)}) == 4
    assert len({make_router("random", seed=0).route(evidence(0, f"e{i}")) for i in range(50)}) == 4


@given(order=st.permutations(range(12)), rewards=st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=2, max_size=4))
def test_the_coin_does_not_depend_on_what_was_asked_before_nor_on_rewards(order, rewards) -> None:
    router = make_router("random", seed=5)
    asked = {i: router.route(evidence(2, f"e{i}", tuple(rewards))) for i in order}
    assert asked == {i: make_router("random", seed=5).route(evidence(2, f"e{i}")) for i in range(12)}


@pytest.mark.parametrize("spec", ["both", "fast", "slow", "skip", "random:0.3,0.6"])
def test_a_router_goes_on_as_before_after_its_state_went_through_json(spec: str) -> None:
    router, fresh = make_router(spec, seed=1), make_router(spec, seed=1)
    before = routes(router, 40)
    fresh.load_state_dict(json.loads(json.dumps(router.state_dict())))
    later = [evidence(step, "late") for step in range(100, 130)]
    assert [fresh.route(e) for e in later] == [router.route(e) for e in later]
    assert routes(fresh, 40) == before


def test_an_unknown_router_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadInput, match=r"unknown router 'randon'\. Did you mean 'random'\?"):
        make_router("randon:0.5,0.5", seed=0)


class Alternating:
    """A user's own rule, with a state: every other group trains the weights."""

    name = "alternating"

    def __init__(self, arguments: str, *, seed: int):
        self.arguments, self.seed, self.asked = arguments, seed, 0

    def route(self, evidence: GroupEvidence) -> Route:
        self.asked += 1
        return Route.SLOW if self.asked % 2 else Route.FAST

    def state_dict(self) -> dict:
        return {"asked": self.asked}

    def load_state_dict(self, state: dict) -> None:
        self.asked = state["asked"]


class Answers:
    name = "answers"

    def __init__(self, answer: object):
        self.answer = answer

    def route(self, evidence: GroupEvidence) -> object:
        return self.answer


def lacking(arguments: str, *, seed: int):
    return Answers(Route.BOTH)


@pytest.mark.parametrize("arguments", ["", "0.5,0.5", "word"])
@pytest.mark.parametrize("separator", [":", "."])
def test_a_dotted_path_names_the_users_own_router(separator: str, arguments: str) -> None:
    router = make_router(f"{__name__}{separator}Alternating{':' if arguments else ''}{arguments}", seed=9)
    assert isinstance(router, Alternating)
    assert (router.arguments, router.seed) == (arguments, 9)
    assert checked_route(router, evidence()) is Route.SLOW


def test_a_router_that_lacks_a_method_is_refused_before_the_run() -> None:
    with pytest.raises(BadInput, match="lacks state_dict, load_state_dict"):
        make_router(f"{__name__}:lacking", seed=0)


def test_a_router_that_does_not_take_its_state_back_is_named() -> None:
    decider = RouteDecider(make_router(f"{__name__}:Alternating", seed=0))
    with pytest.raises(FastSlowError, match=r"'alternating' did not take its state back: KeyError: 'asked'"):
        decider.load_state_dict({"rule": {}, "recent": []})


class Remembers(Alternating):
    """A user's rule whose state is whatever it was given."""

    name = "remembers"
    state: object = {}

    def state_dict(self) -> dict:
        return self.state  # type: ignore[return-value]


ENDLESS: list = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"mean": float("nan")}, r"state\['mean'\] = nan"),
        ({"ok": 1, "best": {"e1": [1.0, float("inf")]}}, r"state\['best'\]\['e1'\]\[1\] = inf"),
        ({"last": ("a", "b")}, r"state\['last'\] = \('a', 'b'\)"),
        ({"by_step": {1: "a"}}, r"state\['by_step'\] = {1: 'a'}"),
        ({"seen": {"a"}}, r"state\['seen'\] = {'a'}"),
        ({"self": ENDLESS}, r"state\['self'\]"),
    ],
)
def test_a_state_that_a_checkpoint_would_change_is_named_at_once_and_in_a_run(monkeypatch, state, says) -> None:
    decider = RouteDecider(make_router(f"{__name__}:Remembers", seed=0))
    assert decider.state_dict()["rule"] == {}
    monkeypatch.setattr(Remembers, "state", state)
    with pytest.raises(FastSlowError, match=f"the state of router 'remembers' cannot be saved: {says}") as raised:
        decider.state_dict()
    assert not isinstance(raised.value, BadInput), "a fault of the run, not of the command"
    with pytest.raises(BadInput, match=says):
        make_router(f"{__name__}:Remembers", seed=0)


@pytest.mark.parametrize("answer", list(Route))
def test_every_route_passes_the_check(answer: Route) -> None:
    assert checked_route(cast(Any, Answers(answer)), evidence()) is answer


@pytest.mark.parametrize("answer", ["both", None, True, 0])
def test_an_answer_that_is_no_route_is_an_error_that_names_router_and_example(answer: object) -> None:
    with pytest.raises(FastSlowError, match=r"router 'answers' returned .* for example e7"):
        checked_route(cast(Any, Answers(answer)), evidence(example_id="e7"))


def test_a_router_of_a_top_level_module_may_be_named_with_a_colon(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_own_router.py").write_text(
        "class Mine:\n    name = 'mine'\n    def __init__(self, arguments, *, seed): ...\n    def route(self, e): ...\n"
        "    def state_dict(self): return {}\n    def load_state_dict(self, s): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make_router("my_own_router:Mine", seed=0).name == "mine"
    assert make_router("my_own_router.Mine", seed=0).name == "mine"


def test_the_coin_lets_examples_rest_and_passes_their_rollouts_on_at_its_rates() -> None:
    router: Any = make_router("random:1,1,0.3,0.5", seed=0)
    counts = Counter(
        plan.rollouts
        for step in range(200)
        for plan in router.plan([Upcoming(step, f"e{number}", "t", 8) for number in range(8)])
    )
    assert counts[0] / 1600 == pytest.approx(0.3, abs=0.03)
    assert counts[16] / 1600 == pytest.approx(0.15, abs=0.03)
    assert sum(rollouts * count for rollouts, count in counts.items()) / 1600 == pytest.approx(8 * 0.85, abs=0.4)
    assert set(counts) == {0, 8, 16}
