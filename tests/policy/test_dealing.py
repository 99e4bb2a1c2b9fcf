"""Jobs are dealt out in equal shares, and a context goes back to the process that has computed its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fastslow.policy.dealing import Dealer

JOBS = st.lists(st.sampled_from("abcdefg"), max_size=40)


def under(contexts_N: Sequence[str], places: Sequence[int]) -> set[str]:
    return {contexts_N[place] for place in places}


@given(calls=st.lists(JOBS, max_size=4), processes=st.integers(1, 5))
def test_every_job_is_dealt_once_and_shares_differ_by_one_at_most(calls: list[list[str]], processes: int) -> None:
    dealer = Dealer()
    for contexts_N in calls:
        dealt = dealer.deal(contexts_N, processes)
        assert sorted(place for own in dealt for place in own) == list(range(len(contexts_N)))
        sizes = [len(own) for own in dealt]
        assert max(sizes) - min(sizes) <= 1


@given(calls=st.lists(JOBS, max_size=4))
def test_processes_that_saw_the_same_jobs_deal_alike(calls: list[list[str]]) -> None:
    one, other = Dealer(), Dealer()
    assert [one.deal(jobs, 3) for jobs in calls] == [other.deal(jobs, 3) for jobs in calls]


def test_a_context_goes_back_to_where_its_tokens_are() -> None:
    dealer = Dealer()
    first = dealer.deal("aabbccdd", 2)
    home = {context: p for p, own in enumerate(first) for context in under("aabbccdd", own)}
    again = dealer.deal("ddaaccbb", 2)
    assert {context: p for p, own in enumerate(again) for context in under("ddaaccbb", own)} == home
    assert sorted(home.values()) == [0, 0, 1, 1], "every context stood in one process only"


def test_two_jobs_under_one_context_go_to_two_processes_rather_than_leave_one_idle() -> None:
    assert Dealer().deal("aa", 2) == [[0], [1]]


def test_nothing_is_remembered_once_engines_have_forgotten() -> None:
    dealer = Dealer()
    fresh = dealer.deal("aabb", 2)
    dealer.deal("bbbbaa", 2)
    dealer.forget()
    assert dealer.deal("aabb", 2) == fresh
