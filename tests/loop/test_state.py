"""What the cycle carries survives a checkpoint, and experience has a bound."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from fastslow.contexts.context import seed_context
from fastslow.contexts.evidence import Book, Entry
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Rollout, Trace, Verdict
from fastslow.files.jsonl import dumps
from fastslow.files.nested_state import flatten, rebuild
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.loop.state import MAX_EXPERIENCE, LoopState

EXAMPLES = [Example(f"e{i}", "t", "train", ({"role": "user", "content": f"q{i}"},)) for i in range(3)]
TASK: Any = SimpleNamespace(name="t", split=lambda split: EXAMPLES)


def trace(i: int) -> Trace:
    return Trace(EXAMPLES[i % 3], "c", f"said {i}", Verdict(0.5, "feedback", {"odd": {1, 2}}))


def filled() -> LoopState:
    state = LoopState(TASK, Population(size=2, seed=seed_context("Answer.")), Book(5.0))
    rollout = Rollout("e1", "c", (1,), (2, 3), (-0.1, -0.2), "text", Verdict(1.0, "good"), 4)
    state.cache = RolloutCache([rollout])
    state.remember([trace(0), trace(1)])
    state.fast_pool = {"e2": EXAMPLES[2]}
    state.unscored_steps = 2
    state.book.entries = [Entry("c", "e1", 4, 1.0)]
    return state


def test_a_state_comes_back_from_a_checkpoint_as_it_was() -> None:
    fresh = LoopState(TASK, Population(size=1, seed=seed_context("other")), Book(5.0))
    fresh.load_state_dict(rebuild(json.loads(dumps(flatten(filled().state_dict(), {}, "loop"))), {}))
    assert fresh.state_dict() == filled().state_dict()
    assert fresh.cache.waiting() == filled().cache.waiting()
    assert list(fresh.fast_pool.values()) == [EXAMPLES[2]]


def test_an_example_that_is_gone_is_named() -> None:
    state = filled().state_dict() | {"fast_pool": ["e9"]}
    with pytest.raises(BadInput, match="example 'e9' is gone"):
        LoopState(TASK, Population(size=1, seed=seed_context("")), Book(5.0)).load_state_dict(state)


def test_experience_forgets_the_oldest() -> None:
    state = filled()
    state.remember([trace(i) for i in range(MAX_EXPERIENCE)])
    assert len(state.experience) == MAX_EXPERIENCE
    assert state.experience[0].completion == "said 0", "the two before it went"
    assert state.experience[-1].completion == f"said {MAX_EXPERIENCE - 1}"


def test_a_fast_phase_begins_experience_and_pool_anew() -> None:
    state = filled()
    population = Population(size=2, seed=seed_context("new"))
    state.after_fast_phase(population, [])
    assert (state.population, state.experience, state.fast_pool, len(state.cache)) == (population, [], {}, 0)
