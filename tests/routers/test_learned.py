"""The bandit credits a route with the progress that followed, and adds a bonus for what it rarely tried."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers import RouteDecider
from fastslow.routers.learned import ACTIONS, FEATURES, LearnedRouter


def group(rate: float, *, example: str = "e", step: int = 0) -> GroupEvidence:
    rewards = (1.0,) * int(8 * rate) + (0.0,) * (8 - int(8 * rate))
    return GroupEvidence(step, example, "t", ("a", "b") * 4, rewards, (5,) * 8, (0.3,) * 8)


def taught(route: Route, times: int = 12) -> LearnedRouter:
    """A router that saw every example rise from 0.25 to 0.75 after this route, and stay after all others."""
    router = LearnedRouter("0")
    for i in range(times):
        for other in ACTIONS:
            name = f"{other.value}{i}"
            router.observe(group(0.25, example=name), other)
            router.observe(group(0.75 if other is route else 0.25, example=name, step=1), other)
    return router


def test_an_untaught_router_takes_both_channels() -> None:
    assert LearnedRouter("0").route(group(0.5)) is Route.BOTH


def test_the_route_that_was_followed_by_progress_has_the_highest_expected_gain() -> None:
    gains = taught(Route.SLOW).explain(group(0.25, example="new"))["gain"]
    assert max(gains, key=lambda name: gains[name]) == "slow"


def test_the_bonus_shrinks_with_every_try_and_skip_has_none() -> None:
    few, many = (taught(Route.SLOW, n).explain(group(0.25, example="new"))["doubt"] for n in (1, 20))
    assert many["slow"] < few["slow"]
    assert few["skip"] == many["skip"] == 0.0


def test_an_unscored_group_is_skipped() -> None:
    unscored = GroupEvidence(0, "e", "t", ("a",), (None,), (5,))
    assert LearnedRouter("0").route(unscored) is Route.SKIP


def test_every_feature_is_explained() -> None:
    assert tuple(LearnedRouter("0").explain(group(0.5))["features"]) == FEATURES


def test_in_another_run_an_example_of_the_same_name_is_a_new_one() -> None:
    router = taught(Route.SLOW)
    seen = router.state_dict()["returned"]
    again = group(1.0, example="slow0", step=1)  # the number of the step in which the run before saw its own
    router.observe(again, Route.BOTH)
    assert router.state_dict()["returned"] == seen, "in one run this is a second group of the same step"
    RouteDecider(router).begin_anew()
    router.observe(again, Route.BOTH)
    router.observe(group(0.5, example="slow0", step=2), Route.BOTH)
    assert router.state_dict()["returned"] == seen + 1
    assert router.explain(group(0.25, example="new"))["gain"], "and what was learned of the routes stays"
