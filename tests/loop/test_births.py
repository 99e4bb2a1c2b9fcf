"""Soft contexts enter the population from its texts, and compete with them by what they themselves earn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population
from fastslow.loop.births import Births, Born
from fastslow.policy.soft_rows import SoftRows
from fastslow.slow.soft import SoftLearner
from tests.policy.test_soft_rows import policy_of
from tests.support.tiny import tiny_model, tiny_tokenizer

SEED = seed_context("")
TEXTS = [Context({"instruction": words, "examples": ""}) for words in ("Add.", "Multiply.", "Divide.", "Say it.")]


def births(*, only: bool, slots: int = 4) -> tuple[Births, SoftRows]:
    tokenizer: Any = tiny_tokenizer()
    model = tiny_model(tokenizer)
    rows = SoftRows.beside(model, slots=slots, tokens=60)
    learner = SoftLearner(rows, rate=0.1, alone=True)
    return Births(learner, policy_of(model, tokenizer, rows), model, only=only), rows


def population(*members: Context, size: int = 4) -> Population:
    scores = {context.id: {"e": 0.5} for context in members}
    known = {context.id: context for context in members}
    return Population(size=size, seed=SEED, members=list(members), known=known, scores=scores)


def soft(members: list[Context]) -> list[bool]:
    return [context.soft is not None for context in members]


def test_where_contexts_are_soft_every_text_is_replaced_by_one_born_from_it() -> None:
    bearing, rows = births(only=True)
    before = population(*TEXTS[:3])
    assert bearing.evolves_texts(before)
    after, born = bearing.after(before, [])
    assert [context.parents for context in after.members] == [(text.id,) for text in TEXTS[:3]]
    assert soft(after.members) == [True] * 3
    assert after.scores == {}, "what the parents earned is not theirs"
    assert not bearing.evolves_texts(after)
    assert [one.rows for one in born] == [rows.ids_of(c.soft)[-1] - rows.ids_of(c.soft)[0] + 1 for c in after.members]  # type: ignore[arg-type]
    assert set(before.known) <= set(after.known), "the texts stay known"


def test_the_seed_takes_no_place_of_a_soft_context_that_lives() -> None:
    bearing, _ = births(only=True)
    first, _ = bearing.after(population(*TEXTS[:3]), [])
    best, rest = first.members[1], [first.members[0], first.members[2]]
    scored = {context.id: {"e": 0.5} for context in [SEED, *first.members]}
    again = Population(size=3, seed=SEED, members=[best, SEED, rest[0]], known=first.known, scores=scored)
    after, born = bearing.after(again, list(scored))
    assert born == []
    assert after.members == [best, *rest], "in the order of the phase, and the one that the seed had displaced last"


def test_beside_texts_one_soft_context_is_born_at_a_time_and_half_of_them_at_most() -> None:
    bearing, _ = births(only=False)
    now = population(*TEXTS)
    seen = []
    for _ in range(4):
        now, born = bearing.after(now, [])
        seen.append([c.parents[0] if c.soft else c.id for c in now.members])
        assert len(born) == (1 if len(seen) <= 2 else 0)
        assert bearing.evolves_texts(now)
    a, b, c, _ = (text.id for text in TEXTS)
    assert seen[0] == [a, b, c, a], "behind those that have scores, in the place of the worst text"
    assert seen[1] == seen[2] == seen[3] == [a, b, a, b]
    assert soft(now.members) == [False, False, True, True]


def test_a_text_whose_soft_context_lives_bears_no_second_one() -> None:
    bearing, _ = births(only=False)
    now, _ = bearing.after(population(TEXTS[0]), [])
    assert soft(now.members) == [False, True]
    after, born = bearing.after(now, [])
    assert (after, born) == (now, [])


def test_a_context_that_fell_out_leaves_its_slot_and_a_new_birth_is_another_context() -> None:
    bearing, rows = births(only=False, slots=1)
    first, _ = bearing.after(population(TEXTS[0], size=2), [])
    (old,) = [context for context in first.members if context.soft]
    later, _ = bearing.after(population(TEXTS[0], size=2), [])
    (new,) = [context for context in later.members if context.soft]
    assert old.id != new.id, "evidence of the first is none of the second"
    assert rows.held == [new.soft]


def test_a_text_that_adds_nothing_bears_rows_of_words() -> None:
    bearing, rows = births(only=True)
    after, (born,) = bearing.after(population(SEED), [])
    assert isinstance(born, Born)
    assert not born.exact
    assert after.lead.soft is not None
    assert bool(rows.rows_of(after.lead.soft).any(1).all())


@pytest.mark.parametrize("only", [True, False])
def test_a_birth_drops_what_the_sampler_computed_for_the_slot_before(only: bool) -> None:
    bearing, rows = births(only=only, slots=2)
    policy = bearing._policy
    now, _ = bearing.after(population(TEXTS[0], size=2), [])
    engine: Any = policy.engine
    engine._prefixes[1, 2] = [(torch.zeros(1), torch.zeros(1))]
    bearing.after(population(TEXTS[1], size=2), [])
    assert engine._prefixes == {}
    assert rows.births == 2
    assert now.members
