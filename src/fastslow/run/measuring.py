"""Held-out accuracy and drift of a run's weights and of the base it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.evaluation.accuracy import (
    BaseModel,
    Drift,
    adapters_off,
    frozen_copy,
    measure_drift,
    measure_population,
)
from fastslow.policy.engines.transformers import PrefixSampler, SamplingParams
from fastslow.policy.loading import ModelSource, frozen_clone, load_model, pad_id
from fastslow.policy.policy import Policy
from fastslow.slow.channel import SlowChannel
from fastslow.tasks.base import Task
from fastslow.tasks.task_set import by_task
from fastslow.topics.topics import Topics


class Measuring:
    """Rows of evals.jsonl on the validation split. Every process has to call these methods."""

    def __init__(
        self,
        config: FastSlowConfig,
        slow: SlowChannel,
        tokenizer: PreTrainedTokenizerBase,
        policy: Policy,
        base: BaseModel,
        task: Task,
    ):
        self._config = config
        self._slow = slow
        self._tokenizer = tokenizer
        self._policy = policy
        self._base = base
        self._task = task

    def validation(self) -> dict[str, list[Example]]:
        """Return the validation examples by task: one task, or several that are learned one after another."""
        return by_task(self._task, self._task.split("validation"))

    def trained(
        self, population: Population, kinds: Sequence[str], topics: Topics, *, drift: bool
    ) -> list[dict[str, Any]]:
        """Measure the current weights under each of `kinds`; with `drift`, the KL to the base under seed and lead."""
        return [
            row
            for name, examples in self.validation().items()
            for row in self._measure(name, examples, population, kinds, topics, drift)
        ]

    def _measure(
        self,
        task: str,
        examples: list[Example],
        population: Population,
        kinds: Sequence[str],
        topics: Topics,
        drift: bool,
    ) -> list[dict[str, Any]]:
        config, contexts = self._config, {"seed": population.seed, "lead": population.lead}
        rows = measure_population(self._policy, population, examples, kinds, topics=topics, **self._how())
        drifts: dict[str, Drift] = {}
        for row in rows:
            row |= {"task": task, "split": "validation", "weights": "trained", "kl": None, "entropy": None}
            context = contexts.get(row["context"])
            if context is None or not config.kl_examples or not drift:
                continue
            if context.id not in drifts:
                some = examples[: config.kl_examples]
                drifts[context.id] = measure_drift(
                    self._policy,
                    self._slow.model,
                    self._base,
                    context,
                    some,
                    seed=config.seed,
                    packing=self._slow.as_trees,
                )
            row |= asdict(drifts[context.id])
        return rows

    def base(self, population: Population) -> list[dict[str, Any]]:
        """Measure the base weights under the seed context and under the lead context."""
        with self._base() as model:
            policy = make_policy(
                self._config, self._slow, self._tokenizer, self._task, self._policy.window, model=model
            )
            policy.refresh(0)
            return [
                {**row, "task": task, "split": "validation", "weights": "base", "kl": 0.0}
                for task, examples in self.validation().items()
                for row in measure_population(policy, population, examples, ["seed", "lead"], **self._how())
            ]

    def _how(self) -> dict[str, Any]:
        config = self._config
        params = replace(
            self._policy.params, temperature=config.eval_temperature, top_p=config.eval_top_p, top_k=0, min_p=None
        )
        return {"params": params, "samples": config.eval_samples, "seed": config.seed}


def make_policy(
    config: FastSlowConfig,
    slow: SlowChannel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    window: int,
    *,
    model: PreTrainedModel | None = None,
) -> Policy:
    """Return what answers this run's task with the weights in training, or those of `model`, sampled like rollouts."""
    dtype = torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else torch.float32
    return Policy(
        sampler=PrefixSampler(model or slow.model, eos_ids=slow.eos_ids, pad_id=pad_id(tokenizer), dtype=dtype),
        tokenizer=tokenizer,
        task=task,
        params=SamplingParams(
            max_new_tokens=int(config.max_completion_length or 256),
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k or 0,
            min_p=config.min_p,
            repetition_penalty=config.repetition_penalty,
        ),
        window=window,
        chat_template_kwargs=slow.chat_template_kwargs,
    )


def make_base(config: FastSlowConfig, slow: SlowChannel, source: ModelSource, *, given: bool) -> BaseModel:
    """Return the weights training started from: adapters off, TRL's reference, or a copy loaded on demand.

    `given` says that the model did not come from `source` and cannot be loaded from there again.
    """
    if config.lora_r:
        return adapters_off(slow.model)
    if slow.reference is not None:
        return frozen_copy(lambda: cast(PreTrainedModel, slow.reference))
    start = frozen_clone(slow.model) if given else None
    return frozen_copy(lambda: start or load_model(source, trust_remote_code=config.trust_remote_code))
