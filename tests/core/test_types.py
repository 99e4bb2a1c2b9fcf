"""Verdicts are rewards in [0, 1] or unscored, and a route names its channels."""

from __future__ import annotations

import pytest

from fastslow.core.types import Example, Route, Verdict


@pytest.mark.parametrize("reward", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_reward_outside_its_range_is_refused(reward: float) -> None:
    with pytest.raises(ValueError, match="unscored"):
        Verdict(reward, "")


def test_unscored_is_not_zero() -> None:
    assert not Verdict.unscored("scorer down").scored
    assert Verdict.unscored("scorer down").info == {"unscored": "scorer down"}
    assert Verdict(0.0, "").scored


def test_a_question_is_the_whole_conversation() -> None:
    turns = ({"role": "user", "content": "first"}, {"role": "user", "content": "second"})
    assert Example("e", "t", "train", turns).question == "first\n\nsecond"
    assert Example("e", "t", "train", turns[:1]).question == "first"


def test_a_route_names_the_channels_that_take_the_group() -> None:
    assert {route: (route.fast, route.slow) for route in Route} == {
        Route.FAST: (True, False),
        Route.SLOW: (False, True),
        Route.BOTH: (True, True),
        Route.SKIP: (False, False),
    }
