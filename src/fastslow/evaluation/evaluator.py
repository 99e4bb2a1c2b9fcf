"""Evaluate weights in one way, for a run while it trains and for a bundle afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.core.measurement import Measurement
from fastslow.core.types import Example, Split
from fastslow.evaluation.accuracy import Sampling, Told, measure_population, tell_nobody
from fastslow.evaluation.drift import Drift, measure_drift
from fastslow.policy.base_model import BaseModel
from fastslow.policy.policy import Policy
from fastslow.tasks.base import Task
from fastslow.tasks.task_set import by_task
from fastslow.topics.topics import Topics


@dataclass(frozen=True)
class EvaluationSettings:
    """How weights are evaluated.

    Args:
        sampling: how examples are answered; its seed is the drift's too.
        kl_examples: examples of each task that KL and entropy are measured on; 0 measures neither.
        packing: compute shared tokens of the drift once, for models where that is exact.
    """

    sampling: Sampling
    kl_examples: int
    packing: bool


class Evaluator:
    """Measure the current weights and the base's on the held-out examples of a task, or of each task of a set.

    Nothing here depends on the rank of the process: where rollouts are made by all processes together, every process
    has to make the same calls.

    Args:
        policy: answers with the weights of `model`; the caller of `measure` refreshes the policy before.
        model: the trained model.
        base: enters the weights that training started from.
        policy_of: makes a policy that answers with another model.
        task: whose examples are measured.
        settings: how weights are evaluated.
        told: called after the answers under each context with how many of a task there are, of those that will be.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        model: PreTrainedModel,
        base: BaseModel,
        policy_of: Callable[[PreTrainedModel], Policy],
        task: Task,
        settings: EvaluationSettings,
        told: Told = tell_nobody,
    ):
        self._policy = policy
        self._model = model
        self._base = base
        self._policy_of = policy_of
        self._task = task
        self._settings = settings
        self._told = told

    def measure(
        self,
        population: Population,
        kinds: Sequence[str],
        *,
        topics: Topics | None = None,
        split: Split = "validation",
        limit: int | None = None,
    ) -> list[Measurement]:
        """Measure the current weights under each kind of context (see `measure_population`), with KL and entropy for
        each kind that is one context. `limit` takes the first examples of each task.

        Raises BadInput for a task without examples.
        """
        measurements = []
        for task, examples in self._examples(split, limit).items():
            accuracies = measure_population(
                self._policy, population, examples, kinds, self._settings.sampling,
                task=task, split=split, weights="trained", topics=topics, told=self._told,
            )  # fmt: skip
            measurements += self._with_drift(accuracies, population, examples[: self._settings.kl_examples])
        return measurements

    def measure_base(
        self,
        population: Population,
        kinds: Sequence[str],
        *,
        topics: Topics | None = None,
        split: Split = "validation",
        limit: int | None = None,
    ) -> list[Measurement]:
        """Measure the base weights likewise; their KL is 0 and their entropy is not measured."""
        with self._base() as model, closing(self._policy_of(model)) as policy:
            policy.refresh(0)
            return [
                replace(measurement, kl=0.0)
                for task, examples in self._examples(split, limit).items()
                for measurement in measure_population(
                    policy, population, examples, kinds, self._settings.sampling,
                    task=task, split=split, weights="base", topics=topics, told=self._told,
                )
            ]  # fmt: skip

    def _examples(self, split: Split, limit: int | None) -> dict[str, list[Example]]:
        examples = {name: of_task[:limit] for name, of_task in by_task(self._task, self._task.split(split)).items()}
        empty = next((name for name, of_task in examples.items() if not of_task), None)
        if empty is not None:
            raise BadInput(f"task '{empty}' has no {split} examples.")
        return examples

    def _with_drift(
        self, measurements: Sequence[Measurement], population: Population, examples: Sequence[Example]
    ) -> list[Measurement]:
        """Add KL and entropy to what was measured under one context, once for each context."""
        contexts = {c.id: c for c in (population.seed, *population.members)}
        drifts: dict[str, Drift] = {}
        completed = []
        for measurement in measurements:
            context = contexts.get(measurement.context_id or "")
            if context is None or not examples:
                completed.append(measurement)
                continue
            if context.id not in drifts:
                drifts[context.id] = measure_drift(
                    self._policy, self._model, self._base, context, examples,
                    seed=self._settings.sampling.seed, packing=self._settings.packing,
                )  # fmt: skip
            drift = drifts[context.id]
            completed.append(replace(measurement, kl=drift.kl, entropy=drift.entropy))
        return completed
