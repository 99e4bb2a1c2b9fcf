from collections import Counter

import pytest

from fastslow.core.errors import BadInput, EndpointError
from fastslow.fast.proposers import MixedProposer, ProposalRequest, made_by

from .helpers import parent, request


class Fixed:
    def __init__(self, name: str):
        self.name = name

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        return {"instruction": self.name}


class Unreachable(Fixed):
    def propose(self, request: ProposalRequest) -> dict[str, str]:
        raise EndpointError("down")


def test_made_by_names_the_proposer_that_made_the_child():
    mix = MixedProposer([Fixed("a"), Fixed("b")])
    for seed in range(20):
        assert mix.propose(request(parent(), seed=seed)) == {"instruction": made_by(mix)}


def test_made_by_sees_through_a_mix_of_mixes():
    mix = MixedProposer([MixedProposer([Fixed("inner")])])
    mix.propose(request(parent()))
    assert made_by(mix) == "inner"


def test_made_by_of_a_plain_proposer_is_its_name():
    assert made_by(Fixed("plain")) == "plain"


def test_weights_are_the_shares_of_calls():
    mix = MixedProposer([Fixed("a"), Fixed("b")], [3, 1])
    drawn = Counter(mix.propose(request(parent(), seed=seed))["instruction"] for seed in range(800))
    assert 0.70 < drawn["a"] / 800 < 0.80


def test_the_draw_depends_on_the_request_alone():
    first, second = MixedProposer([Fixed("a"), Fixed("b")]), MixedProposer([Fixed("a"), Fixed("b")])
    second.propose(request(parent(), seed=99))
    for seed in range(20):
        assert first.propose(request(parent(), seed=seed)) == second.propose(request(parent(), seed=seed))


def test_an_endpoint_error_rises_and_names_its_maker():
    mix = MixedProposer([Unreachable("far away")])
    with pytest.raises(EndpointError):
        mix.propose(request(parent()))
    assert made_by(mix) == "far away"


@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1], [1, float("nan")], [1, float("inf")], [1, 1, 1]])
def test_weights_that_cannot_be_drawn_from_are_bad_input(weights):
    with pytest.raises(BadInput, match="weight"):
        MixedProposer([Fixed("a"), Fixed("b")], weights)


def test_a_mix_of_nothing_is_bad_input():
    with pytest.raises(BadInput):
        MixedProposer([])
