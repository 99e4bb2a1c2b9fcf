"""Make what a run is measured by: the policy that answers, the base it started from, and the evaluator of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.config.settings import FastSlowConfig, compute_type
from fastslow.core.modes import MODES
from fastslow.evaluation.accuracy import Sampling, Told
from fastslow.evaluation.evaluator import EvaluationSettings, Evaluator
from fastslow.policy.base_model import BaseModel, adapters_off, frozen_copy
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.engines.make import make_engine
from fastslow.policy.loading import ModelSource, frozen_clone, load_model
from fastslow.policy.policy import Policy
from fastslow.policy.soft_rows import rows_beside
from fastslow.policy.trials import vocabulary
from fastslow.policy.tripwire import BOUNDS, Tripwire
from fastslow.slow.channel import SlowChannel
from fastslow.tasks.base import Task


def make_evaluator(
    config: FastSlowConfig,
    slow: SlowChannel,
    tokenizer: PreTrainedTokenizerBase,
    policy: Policy,
    base: BaseModel,
    task: Task,
    stops: Callable[[], bool],
    *,
    model: PreTrainedModel | None = None,
    told: Told,
) -> Evaluator:
    """Make the evaluator of the run's weights, or those of `model`, and its base on held-out examples of its task;
    `told` as in `Evaluator`."""
    params = replace(
        policy.params, temperature=config.eval_temperature, top_p=config.eval_top_p, top_k=0, min_p=None,
        repetition_penalty=1.0,
    )  # fmt: skip
    return Evaluator(
        policy=policy,
        model=model or slow.model,
        base=base,
        policy_of=lambda model: make_policy(config, slow, tokenizer, task, policy.window, model=model, stops=stops),
        task=task,
        settings=EvaluationSettings(
            Sampling(params, config.eval_samples, config.seed),
            kl_examples=config.kl_examples if MODES[config.mode].slow else 0,
            packing=slow.as_trees and not slow.sharding.of_weights,  # a forward of each process at a time
        ),
        told=told,
    )


def make_policy(
    config: FastSlowConfig,
    slow: SlowChannel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    window: int,
    *,
    model: PreTrainedModel | None = None,
    stops: Callable[[], bool] = lambda: False,
) -> Policy:
    """Make the policy that answers this run's task with the weights in training, or those of `model`, sampled like
    rollouts; `stops` as in `Policy`."""
    dtype, answering = getattr(torch, compute_type(config)), model or slow.model
    engine = make_engine(
        answering,
        tokenizer,
        eos_ids=slow.eos_ids,
        dtype=dtype,
        urls=config.engine_urls or (),
        adapters=config.engine_sync == "lora",
        blank=slow.blank,
    )
    return Policy(
        engine=engine,
        tripwire=make_tripwire(config, slow, answering, dtype) if engine.separate else None,
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
        template_date=config.template_date,
        ids_below=vocabulary(answering),
        soft=rows_beside(answering),
        reasoning=config.reasoning,
        max_turns=config.max_turns,
        stops=stops,
    )


def make_tripwire(config: FastSlowConfig, slow: SlowChannel, model: PreTrainedModel, dtype: torch.dtype) -> Tripwire:
    """Make the comparison of a separate engine with the model whose weights it was sent."""
    return Tripwire(model, bound=config.engine_gap or BOUNDS[dtype], dtype=dtype, packing=slow.as_trees)


def make_base(config: FastSlowConfig, slow: SlowChannel, source: ModelSource, *, given: bool) -> BaseModel:
    """Make the way into the weights training started from: adapters off, TRL's reference, or a copy loaded on demand.

    `given` says that the model did not come from `source` and cannot be loaded from there again.
    """
    if slow.holds_base:
        return adapters_off(slow.model)
    if slow.reference is not None:
        return frozen_copy(lambda: slow.reference)
    start, soft = frozen_clone(slow.model) if given else None, rows_beside(slow.model)

    def load() -> PreTrainedModel:
        model = start or load_model(source, trust_remote_code=config.trust_remote_code)
        if soft is not None:
            soft.attach(model)
        return slow.frozen(model)

    return frozen_copy(load)
