"""What all rollouts say of the contexts, and who follows it: the lead, the members, the archive."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.evidence import Book, Entry
from fastslow.contexts.population import Population
from fastslow.core.types import Rollout, Verdict
from fastslow.fast.effort import Effort
from fastslow.loop.cycle import Cycle
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.loop.weighing import Weighing
from fastslow.topics.archive import Archive
from tests.streams.helpers import examples

SEED = seed_context("")
ONE, TWO = (Context({"instruction": name}, (SEED.id,), "test") for name in ("one", "two"))
ANCHOR = examples(6, "a")


def rollout(context: Context, example_id: str, *, reward: float = 1.0, version: int = 0) -> Rollout:
    return Rollout(example_id, context.id, (1,), (2,), (-0.1,), "text", Verdict(reward, ""), version)


def rewards(seed: float, one: float, two: float = 0.0, *, steps: int = 8, questions: int = 8) -> Book:
    rng = np.random.default_rng(0)
    chances = {SEED.id: seed, ONE.id: one, TWO.id: two}
    book = Book(5.0)
    book.entries = [
        Entry(context_id, f"{step}.{q}", step, float(rng.random() < chance), "a")
        for step in range(steps) for q in range(questions) for context_id, chance in chances.items()
    ]  # fmt: skip
    return book


def weighing(book: Book, members: list[Context], *, slots: str = "earned", lead: str = "evidence") -> Weighing:
    known = {context.id: context for context in (SEED, ONE, TWO)}
    state: Any = SimpleNamespace(
        book=book, population=Population(2, SEED, members, known), at_hand=["a"], cache=RolloutCache()
    )
    config: Any = SimpleNamespace(mode="fst", lead=lead, slots=slots, seed=0)
    topics: Any = SimpleNamespace(archive=Archive(), of=lambda example: "a")
    made = Weighing(config, policy=SimpleNamespace(version=0), topics=topics, state=lambda: state)  # type: ignore[arg-type]
    made.test = state, topics  # type: ignore[attr-defined]
    return made


def lead(made: Weighing) -> Context:
    made.choose_lead(8)
    return made.test[0].population.lead  # type: ignore[attr-defined]


@pytest.mark.parametrize(("slots", "leads"), [("earned", SEED), ("adaptive", SEED), ("even", ONE)])
def test_a_seed_context_that_takes_part_leads_where_it_is_the_best(slots: str, leads: Context) -> None:
    made = weighing(rewards(0.9, 0.4, 0.3), [TWO, ONE], slots=slots)
    assert lead(made) == leads
    assert len(made.test[0].population.members) == 2  # type: ignore[attr-defined]
    assert (SEED.id in [one.context_id for one in made.standings(8)]) == (slots != "even")


def test_with_earned_slots_only_contexts_that_earned_some_lead() -> None:
    near = rewards(0.5, 0.55, 0.3)
    assert lead(weighing(near, [ONE, TWO], slots="adaptive")) == ONE
    assert lead(weighing(near, [ONE, TWO])) == SEED
    assert lead(weighing(rewards(0.2, 0.9, 0.3), [TWO, ONE])) == ONE


def test_the_rollouts_by_which_a_child_was_accepted_do_not_count() -> None:
    made = weighing(Book(5.0), [ONE])
    state = made.test[0]  # type: ignore[attr-defined]
    known = {context.id: context for context in (SEED, ONE)}
    lucky, other = ANCHOR[0].id, ANCHOR[1].id
    phase: Any = SimpleNamespace(
        population=Population(2, SEED, [ONE], known, policy_version=0),
        examples=ANCHOR,
        scores={c: {other: 1.0} for c in known},
        rollouts=[rollout(c, e) for c in (SEED, ONE) for e in (lucky, other)],
        judged={(SEED.id, lucky), (ONE.id, lucky)},
    )
    made.after_phase(phase)
    assert {(entry.context_id, entry.question) for entry in state.book.entries} == {(c, other) for c in known}


def test_the_archive_weighs_whoever_was_scored_on_a_topic() -> None:
    made = weighing(rewards(0.2, 0.4, 0.9), [ONE], slots="even")
    archive = made.test[1].archive  # type: ignore[attr-defined]
    archive.keep({c.id: {e.id: 0.0 for e in ANCHOR} for c in (ONE, TWO)}, ANCHOR, lambda e: "a", policy_version=0)
    made.write_down(8)
    assert archive.entries["a"].ranked == [TWO.id, ONE.id], "the best of a topic need be no member"


def test_what_lost_weights_made_is_forgotten() -> None:
    made = weighing(rewards(0.2, 0.9), [ONE])
    state, topics = made.test  # type: ignore[attr-defined]
    topics.archive.keep({ONE.id: {e.id: 1.0 for e in ANCHOR}}, ANCHOR, lambda e: "a", policy_version=0)
    made.write_down(8)
    assert topics.archive.entries["a"].levels
    state.cache = RolloutCache([rollout(ONE, "x", version=3), rollout(ONE, "y", version=4)])
    made.forget(after=3)
    assert [made.example_id for made in state.cache.waiting()] == ["x"]
    assert max(entry.version for entry in state.book.entries) == 3
    assert topics.archive.entries["a"].levels == {}


@pytest.mark.parametrize(("at_hand", "ahead", "wakes"), [
    (["a"], ["a", "b"], True), (["a", "b"], ["b"], False), (["a"], ["a"], False), ([], ["a"], False),
])  # fmt: skip
def test_a_fast_phase_wakes_where_a_topic_comes_that_was_not_at_hand(
    at_hand: list[str], ahead: list[str], wakes: bool
) -> None:
    state = SimpleNamespace(at_hand=at_hand, effort=Effort(share=0.5))
    cycle: Any = SimpleNamespace(topics=SimpleNamespace(of=lambda topic: topic), state=state)
    Cycle._take_in_hand(cycle, ahead)  # type: ignore[arg-type]
    assert (state.effort.share == 1.0) == wakes
    assert state.at_hand == ahead
