"""Weigh the contexts by all their rollouts; where that decides, have the lead, members and archive follow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context
from fastslow.contexts.evidence import Standing, Standings
from fastslow.contexts.population import Population
from fastslow.contexts.slots import those_that_earned
from fastslow.core import processes
from fastslow.core.modes import MODES
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout
from fastslow.fast.phase import FastPhase
from fastslow.loop.state import LoopState
from fastslow.policy.policy import Policy
from fastslow.topics.topics import Topics


class Weighing:
    """Keep the book of evidence, and act by it.

    Args:
        config: the run's settings.
        policy: whose rollouts they are.
        topics: what the learner knows of the stream.
        state: returns what the cycle carries from step to step.
    """

    def __init__(self, config: FastSlowConfig, *, policy: Policy, topics: Topics, state: Callable[[], LoopState]):
        self._config = config
        self._policy = policy
        self._topics = topics
        self._state = state
        self._fast = MODES[config.mode].fast
        self._decides = self._fast and config.lead == "evidence"

    # What is known

    def known(self, step: int) -> Standings:
        """Return what is known of every context after `step` optimiser steps, on the topics at hand."""
        return self._state().book.standings(step, self._state().at_hand)

    def standings(self, step: int) -> list[Standing]:
        """Return the same of the contexts that rollouts are dealt to, the best first."""
        return self.known(step).ranked(context.id for context in self._dealt)

    def enter(self, rollouts: Iterable[Rollout], examples: Iterable[Example], *, alone: bool = False) -> None:
        """Enter rollouts into the book; `alone` as in `Book.add`."""
        if self._fast:
            self._state().book.add(
                rollouts, {example.id: example for example in examples}, self._state().population.known,
                now=self._policy.version, topic_of=self._topics.of, alone=alone,
            )  # fmt: skip

    def forget(self, after: int) -> None:
        """Drop what was made and learned under weights that are gone: those after more than `after` steps."""
        self._state().book.forget(after)
        self._state().cache.forget(after)
        if self._topics.archive is not None:
            self._topics.archive.forget_levels()

    # What follows

    def choose_lead(self, step: int) -> None:
        """Put the members in the order of what is known of them after `step` optimiser steps, where that decides: with
        `lead: evidence`, and between contexts that stand alike on the anchor set, whose ids would decide else. A seed
        context that takes part without being a member leads where it is the best.

        Called before anything is measured or shipped, by every process.
        """
        population = self._state().population
        if self._decides:
            levels = self._levels(self._dealt, step)
            population = population.led_by(levels)
            if levels.get(population.seed.id, -1.0) > levels.get(population.lead.id, -1.0):
                population = population.starting_from([population.seed])
            self._state().population = population
            self.write_down(step)
        elif self._fast and len(population.tied) > 1:
            self._state().population = population.untied_by(self._levels(population.members, step))

    def after_phase(self, phase: FastPhase) -> None:
        """Enter the rollouts of a fast phase into the book; where that decides, choose the members by it.

        Left out are the rollouts by which it was decided whether a child was made, and kept: of those that are left the
        winners had luck there, and their parents had none; and a parent that was right on all of a minibatch has no
        child, so that its rollouts there would all be right ones.
        """
        population = phase.population
        chance = (r for r in phase.rollouts if (r.context_id, r.example_id) not in phase.judged)
        self.enter(chance, phase.examples, alone=True)
        if self._decides:
            contexts, version = [population.known[context_id] for context_id in phase.scores], population.policy_version
            levels = self._levels(contexts, version)
            self._state().population = population.rescored(
                contexts, phase.scores, policy_version=version, levels=levels
            )
            self.write_down(version)

    def brought(self, step: int, start: Population) -> bool:
        """Return whether the fast phase that began from `start` brought a new member; with slots that are earned, one
        that earned some."""
        new = [context for context in self._state().population.members if context.id not in start.known]
        if self._config.slots != "earned":
            return bool(new)
        return any(level >= 0 for level in self._levels(new, step).values())

    def write_down(self, step: int) -> None:
        """Have the archive rank the contexts of each topic at hand by the book, where that decides: once the stream has
        gone on, the book forgets them."""
        archive, known = self._topics.archive, self._state().population.known
        if archive is None or not self._decides:
            return
        for topic in self._state().at_hand:
            of_topic = archive.entries[topic].scores if topic in archive.entries else ()
            contexts = [*self._dealt, *(known[context_id] for context_id in of_topic)]
            levels = self._levels(contexts, step, [topic])
            archive.weigh(topic, {id: level for id, level in levels.items() if level >= 0})

    @property
    def _dealt(self) -> list[Context]:
        """The members and, where slots are not even, the seed context, which takes part in every step then."""
        population = self._state().population
        seed = [] if self._config.slots == "even" else [population.seed]
        return list({context.id: context for context in [*population.members, *seed]}.values())

    def _levels(self, contexts: Iterable[Context], step: int, topics: Collection[str] = ()) -> dict[str, float]:
        """Return the level of each context of which anything is known on these topics, by default on those at hand; the
        same numbers on every process. With slots that are earned, contexts that earned none are below 0."""
        ids, state = list(dict.fromkeys(context.id for context in contexts)), self._state()
        seed = state.population.seed.id

        def found() -> dict[str, float]:
            known = state.book.standings(step, topics or state.at_hand)
            levels = {standing.context_id: standing.level for standing in known.ranked(ids)}
            if self._config.slots == "earned":
                draws = derive_seed(self._config.seed, "slots", step)
                earned = {seed, *those_that_earned(ids, known, seed, seed=draws)}
                levels = {id: level if id in earned else level - 2 for id, level in levels.items()}
            return levels

        return processes.from_main(found)
