"""Pair every question of a distillation with the context that its teacher answers under."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fastslow.bundles.bundle import Bundle
from fastslow.contexts.context import Context
from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.policy import Job, Policy
from fastslow.streams.epochs import EpochStream
from fastslow.tasks.base import Task

LEAD, CLUSTER, MEAN = "lead", "cluster", "mean"
"""What a teacher answers under: the lead, the context of the question's topic, or any member of the population."""


@dataclass(frozen=True)
class Teacher:
    """The contexts that a teacher may answer an example under: one, or with `mean` the whole population."""

    bundle: Bundle
    kind: str

    def contexts(self, example: Example) -> list[Context]:
        """Return these contexts for one example."""
        population, topics = self.bundle.population, self.bundle.topics
        if self.kind == MEAN:
            return population.members
        if self.kind == LEAD or topics is None:
            return [population.lead]
        return [topics.choose(self.kind, population, example)]


class Pairs:
    """Supply a training with questions (see `slow.distill.PromptPairs`), every epoch of them in an order of its own.

    Args:
        policy: renders, samples and scores.
        teacher: the contexts of the teacher.
        examples: what is asked.
        places: questions of the whole training.
        seed: that of the order, the choice of contexts and the samples.
        listen: is told of every step's rollouts.
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        examples: Sequence[Example],
        *,
        places: int,
        seed: int,
        listen: Callable[[Sequence[Rollout]], None],
    ):
        self._policy, self._teacher, self._places, self._seed, self._listen = policy, teacher, places, seed, listen
        self._order = EpochStream(examples, batch_size=1, seed=seed)
        self._params = SamplingParams(max_new_tokens=policy.params.max_new_tokens)  # whole: the KL is to be of samples

    def __len__(self) -> int:
        return self._places

    def student(self, place: int) -> tuple[int, ...]:
        """Return the prompt under the seed context."""
        return self._policy.prompt_ids(self._teacher.bundle.population.seed, self._order.at(place))

    def teacher(self, place: int) -> tuple[int, ...]:
        """Return the prompt under the teacher's context; of several, one is drawn for each place."""
        example = self._order.at(place)
        contexts = self._teacher.contexts(example)
        chosen = random.Random(derive_seed(self._seed, "teacher", place)).choice(contexts)
        return self._policy.prompt_ids(chosen, example)

    def answer(self, places: Sequence[int], step: int) -> list[Rollout]:
        """Sample the student's answers at temperature 1 from the weights after `step` steps."""
        context = self._teacher.bundle.population.seed
        jobs = [Job(context, self._order.at(at), derive_seed(self._seed, "distill", at)) for at in places]
        self._policy.begin_step(step)
        rollouts = self._policy.rollouts(jobs, self._params, step=True)
        self._listen(rollouts)
        return rollouts


def training_questions(policy: Policy, task: Task, teacher: Teacher) -> list[Example]:
    """Return the training questions that fit the window under the seed context and the teacher's.

    Raises BadInput where none does, and where the teacher's contexts are the seed context alone.
    """
    seed, examples = teacher.bundle.population.seed, task.split("train")
    by_example = {example.id: teacher.contexts(example) for example in examples}
    if not _others(by_example.values(), seed):
        raise BadInput(
            f"the contexts to distil ({teacher.kind}) are the seed context itself, so that the weights have nothing to "
            "learn from them. Take the bundle of a run that evolved contexts (mode fst or prompt)."
        )
    fitting = [e for e in examples if all(policy.fits(context, e) for context in (seed, *by_example[e.id]))]
    if not fitting:
        raise BadInput(
            f"none of the {len(examples)} training questions fits the model's window under the contexts to distil."
        )
    return fitting


def _others(contexts: Iterable[Sequence[Context]], seed: Context) -> set[str]:
    return {context.id for of_example in contexts for context in of_example} - {seed.id}


def alone(bundle: Bundle) -> Bundle:
    """Return the bundle with its seed context as the only one."""
    population = bundle.population
    return replace(bundle, population=type(population)(1, population.seed), topics=None)
