"""Let soft contexts enter the population: each is born from a text that a fast phase chose, and competes with all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastslow.contexts.context import INSTRUCTION, Context, soft_context
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.policy.policy import Policy
from fastslow.policy.soft_births import birth_of
from fastslow.slow.soft import SoftLearner

EMPTY = "Answer the question."
"""What rows are copied from where a text adds nothing to a prompt: a start near words, and not at zero."""

PROBES = 32
"""Training questions among which one is looked for that is no worked example."""


@dataclass(frozen=True)
class Born:
    """Hold one birth: the soft context, how many rows it has, and whether they compute what its parent does."""

    context: Context
    rows: int
    exact: bool

    def line(self, cycle: int, policy_version: int) -> dict[str, Any]:
        """Return a line of contexts.jsonl, with what a line of a proposal has."""
        return {
            **self.context.to_json(), "cycle": cycle, "policy_version": policy_version,
            "component": next(iter(self.context.components)), "accepted": True, "reason": None, "minibatch_ids": [],
            "minibatch_scores": {}, "parent_minibatch_scores": {}, "anchor_scores": None, "rows": self.rows,
            "exact": self.exact,
        }  # fmt: skip


class Births:
    """Bear soft contexts after fast phases.

    Args:
        learner: has the rows, and trains them.
        policy: renders contexts.
        model: whose embedding is copied.
        only: whether soft contexts replace all texts of the population; else one is born at a time, from the best text,
            and at most half of the population is soft.
    """

    def __init__(self, learner: SoftLearner, policy: Policy, model: Any, *, only: bool):
        self._learner, self._policy, self._model, self._only = learner, policy, model, only

    def evolves_texts(self, population: Population) -> bool:
        """Return whether the fast phase from this population looks for texts: once soft contexts have replaced them, it
        compares these alone."""
        return not (self._only and any(context.soft for context in population.members))

    def after(self, population: Population, scored: Collection[str]) -> tuple[Population, list[Born]]:
        """Return the population with the soft contexts that are born after a fast phase, and these; `scored` are the
        contexts that the phase scored, in use or not.

        A newborn has no score and no evidence, and stands behind the contexts that have: what its parent earned is not
        its own. It is compared with them from its first rollouts on.
        """
        if self._only:
            every = {c.id: c for c in [*population.members, *(population.known[name] for name in scored)]}
            soft = [context for context in every.values() if context.soft is not None]
            if soft:  # where the seed was among the best, it gives its place back: it stays reachable without one
                return _with_members(population, soft), []
            born = self._bear(population.members, [])
            return _with_members(population, [one.context for one in born]), born
        members = population.members
        soft = [context for context in members if context.soft is not None]
        parents = {parent for context in soft for parent in context.parents}
        text = next((context for context in members if context.soft is None and context.id not in parents), None)
        if text is None or len(soft) >= max(1, population.size // 2):
            return population, []
        kept = list(members)
        if len(kept) == population.size:  # the worst text makes room, but never the parent
            kept.remove([context for context in kept if context.soft is None and context is not text][-1])
        born = self._bear([text], soft)
        return _with_members(population, [*kept, *(one.context for one in born)]), born

    def _bear(self, texts: Sequence[Context], soft: Sequence[Context]) -> list[Born]:
        living = {context.soft.birth for context in soft if context.soft is not None}
        born = []
        for text in texts:
            most = self._learner.rows.tokens
            birth = birth_of(self._policy, text, self._probe(text), most=most)
            if not birth.ids:
                words = replace(text, components={**text.components, INSTRUCTION: EMPTY})
                birth = replace(birth_of(self._policy, words, self._probe(text), most=most), exact=False)
            rows = self._learner.bear(self._model, birth.ids, living)
            living.add(rows.birth)
            born.append(Born(soft_context(birth.kind, rows, text), rows.tokens, birth.exact))
        self._policy.engine.forget()  # a slot may have had other rows under the same weights
        return born

    def _probe(self, text: Context) -> Example:
        shown = {worked.question.strip() for worked in text.worked_examples}
        examples = self._policy.task.split("train")[:PROBES]
        return next((e for e in examples if e.question.strip() not in shown), examples[0])


def _with_members(population: Population, members: Sequence[Context]) -> Population:
    """Return the population with these contexts in use."""
    known = {**population.known, **{context.id: context for context in members}}
    scores = {context.id: population.scores[context.id] for context in members if context.id in population.scores}
    return replace(population, members=list(members), known=known, scores=scores)
