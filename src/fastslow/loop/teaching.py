"""Choose what the model sees as a teacher of itself: the question's right answer, or contexts that were evolved."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.policy.policy import Policy
from fastslow.topics.topics import Topics


class Teacher(Protocol):
    """Say under which prompt the model judges answers to a question."""

    def prompt(self, example: Example) -> tuple[int, ...] | None:
        """Return token ids; None where the question has no teacher."""
        ...


class ShownAnswer:
    """Show the question with its right answer as a turn, right before it is asked again. (As a worked example, the
    rendering would leave it out: contexts must not hold answers.)

    Args:
        policy: renders prompts, and knows the right answers.
        seed: the context under which the student answers.
    """

    def __init__(self, policy: Policy, seed: Context):
        self._policy, self._seed = policy, seed

    def prompt(self, example: Example) -> tuple[int, ...] | None:
        """Return the prompt; None for a question without a verified answer, or one that does not fit the window."""
        answer = self._policy.task.answer(example)
        if answer is None:
            return None
        turns = (*example.messages, {"role": "assistant", "content": answer}, *example.messages)
        shown = replace(example, id=f"{example.id}, answered", messages=turns)
        return self._policy.prompt_ids(self._seed, shown) if self._policy.fits(self._seed, shown) else None


class OwnContexts:
    """Show the context that would answer the question: that of its topic, where topics have contexts, else the lead.

    Args:
        policy: renders prompts.
        topics: know the best contexts of a topic.
        population: the contexts in use.
    """

    def __init__(self, policy: Policy, topics: Topics, population: Population):
        self._policy, self._topics, self._population = policy, topics, population

    def prompt(self, example: Example) -> tuple[int, ...] | None:
        """Return the prompt; None where that context is the student's own, or does not fit the window."""
        context = self._topics.choose("cluster", self._population, example)
        if context.id == self._population.seed.id or not self._policy.fits(context, example):
            return None
        return self._policy.prompt_ids(context, example)
