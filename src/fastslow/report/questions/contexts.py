"""Which contexts a run has, what each of them is to it, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.contexts.context import Context
from fastslow.contexts.population import LEAD, SEED
from fastslow.contexts.rendering import render_open
from fastslow.report.reading.contexts import KnownContexts
from fastslow.report.reading.values import mean_score, number


@dataclass(frozen=True)
class ContextLine:
    """One context; None where the run's files do not say.

    Attributes:
        id: of the context.
        roles: of `lead`, `member` (in use, but not the lead), `seed` and `known` (accepted once, not in use).
        level, low, high: expected reward by all rollouts and its 95% interval, in [0, 1].
        rollouts: those that the level rests on, weighed by their age.
        anchor: mean score on the anchor set of the last fast phase, in [0, 1].
        characters: of the turns that come before a question.
        examples: worked examples among them.
        rows: of a soft context, which has no characters; 0 for a text.
    """

    id: str
    roles: tuple[str, ...]
    level: float | None
    low: float | None
    high: float | None
    rollouts: float | None
    anchor: float | None
    characters: int
    examples: int
    rows: int


def context_lines(known: KnownContexts) -> list[ContextLine]:
    """Return one line for each context: those in use, the lead first, then the seed, then the others in the order in
    which they were accepted. Scores of contexts that are not in use were earned under older weights and are left
    out."""
    population = known.population
    every = {context.id: context for context in (*population.members, population.seed, *population.known.values())}
    return [_line(known, context) for context in every.values()]


def _line(known: KnownContexts, context: Context) -> ContextLine:
    population, standing = known.population, known.standings.get(context.id, {})
    in_use = [one.id for one in population.members]
    roles = [SEED] if context.id == population.seed.id else []
    if context.id in in_use:
        roles.insert(0, LEAD if context.id == population.lead.id else "member")
    level, low, high, rollouts = (number(standing.get(name)) for name in ("level", "low", "high", "rollouts"))
    return ContextLine(
        id=context.id,
        roles=tuple(roles or ["known"]),
        level=level, low=low, high=high, rollouts=rollouts,
        anchor=mean_score(population.scores.get(context.id)) if context.id in in_use else None,
        characters=characters(context),
        examples=len(context.worked_examples),
        rows=context.soft.tokens if context.soft else 0,
    )  # fmt: skip


def characters(context: Context) -> int:
    """Return how many characters of text come before a question; 0 for a soft context. Raises ValueError where its
    worked examples cannot be read."""
    return 0 if context.soft else sum(len(turn["content"]) for turn in render_open(context)[:-1])
