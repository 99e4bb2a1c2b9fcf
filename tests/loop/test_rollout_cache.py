"""The rollout cache: each rollout serves one slot, of its own context and example, and only if it was scored."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.types import Rollout, Verdict
from fastslow.loop.rollout_cache import RolloutCache
from tests.support.present import present


def rollout(context: str, example: str, text: str = "", reward: float | None = 1.0) -> Rollout:
    verdict = Verdict.unscored("down") if reward is None else Verdict(reward, "")
    return Rollout(example, context, (1,), (2,), (0.0,), text, verdict, 0)


def test_a_rollout_serves_a_slot_of_its_own_context_and_example_only() -> None:
    cache = RolloutCache([rollout("c", "e", "mine")])
    assert cache.take("e", "c") is None
    assert cache.take("c", "other") is None
    assert cache.take("other", "e") is None
    served = cache.take("c", "e")
    assert served is not None
    assert served.text == "mine"


def test_each_rollout_is_served_once_and_in_the_order_it_came() -> None:
    cache = RolloutCache([rollout("c", "e", "first"), rollout("c", "e", "second")])
    assert [present(cache.take("c", "e")).text for _ in range(2)] == ["first", "second"]
    assert cache.take("c", "e") is None
    assert len(cache) == 0


def test_an_unscored_rollout_is_never_served_and_a_reward_of_zero_is() -> None:
    cache = RolloutCache([rollout("c", "e", "broken", None), rollout("c", "e", "wrong", 0.0)])
    assert len(cache) == 1
    assert present(cache.take("c", "e")).text == "wrong"
    assert cache.take("c", "e") is None


def test_an_empty_cache_serves_nothing_and_asking_does_not_fill_it() -> None:
    cache = RolloutCache()
    assert cache.take("c", "e") is None
    assert len(cache) == 0


KEYS = st.tuples(st.sampled_from("ab"), st.sampled_from("xy"))


@given(st.lists(st.tuples(KEYS, st.sampled_from([None, 0.0, 1.0])), max_size=10), st.lists(KEYS, max_size=12))
def test_no_slot_gets_more_than_there_was_and_the_rest_stays(made, asked) -> None:
    cache = RolloutCache([rollout(*key, text=str(i), reward=reward) for i, (key, reward) in enumerate(made)])
    stock = Counter(key for key, reward in made if reward is not None)
    served = []
    for key in asked:
        got = cache.take(*key)
        assert (got is not None) == (stock[key] > 0)
        if got is not None:
            assert (got.context_id, got.example_id) == key
            stock[key] -= 1
            served.append(got.text)
    assert len(set(served)) == len(served)
    assert len(cache) == stock.total()
