"""Numbers after a router's name are read or refused, and a state must survive JSON."""

from __future__ import annotations

from typing import Any

import pytest

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import StatelessRouter, checked_route, checked_state, number_arguments

EVIDENCE = GroupEvidence(0, "e", "t", ("c",), (1.0,), (5,))


class Stateful(StatelessRouter):
    name = "stateful"

    def __init__(self, state: Any):
        self._state = state

    def route(self, evidence: GroupEvidence) -> Route:
        return Route.BOTH

    def state_dict(self) -> dict[str, Any]:
        return self._state


def numbers(arguments: str) -> list[float]:
    return number_arguments("rule", arguments, defaults=(0.25, 0.1), limits=((0.0, 0.5), (0.0, 1.0)))


def test_numbers_left_out_have_their_defaults() -> None:
    assert [numbers(text) for text in ("", "0.5", "0,1")] == [[0.25, 0.1], [0.5, 0.1], [0.0, 1.0]]


@pytest.mark.parametrize("text", ["0.6", "0.1,2", "0.1,0.2,0.3", "x", "nan", ","])
def test_numbers_outside_their_limits_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match=r"as in rule:0\.25,0\.1"):
        numbers(text)


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": {1: "x"}}, r"state\['a'\]"),
        ({"a": [1, (2,)]}, r"state\['a'\]\[1\]"),
        ({"a": float("nan")}, r"state\['a'\] = nan"),
        ([object()], r"state\[0\]"),
    ],
)
def test_the_part_of_a_state_that_json_changes_is_named(state: Any, place: str) -> None:
    with pytest.raises(FastSlowError, match=place):
        checked_state(Stateful(state))


def test_a_state_that_holds_itself_is_refused() -> None:
    state: dict[str, Any] = {}
    state["self"] = state
    with pytest.raises(FastSlowError, match="cannot be saved"):
        checked_state(Stateful(state))


def test_a_state_that_survives_json_is_returned() -> None:
    state = {"a": [1, 0.5, None, True, "x"]}
    assert checked_state(Stateful(state)) == state


def test_a_rule_that_raises_is_named_with_the_example() -> None:
    class Raising(Stateful):
        def route(self, evidence: GroupEvidence) -> Route:
            raise KeyError("oops")

    with pytest.raises(FastSlowError, match="router 'stateful' raised KeyError: 'oops' for example e"):
        checked_route(Raising({}), EVIDENCE)
