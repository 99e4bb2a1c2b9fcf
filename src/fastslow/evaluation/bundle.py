"""Evaluate a bundle: the trained and the base weights, each under the contexts that were shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from fastslow.bundles.bundle import Bundle
from fastslow.core.machine import bf16_is_fast
from fastslow.core.measurement import Measurement
from fastslow.core.types import Split
from fastslow.evaluation.accuracy import Sampling, Told, tell_nobody
from fastslow.evaluation.evaluator import EvaluationSettings, Evaluator
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.engines.make import make_engine
from fastslow.policy.loading import context_window
from fastslow.policy.policy import Policy
from fastslow.policy.soft_rows import rows_beside
from fastslow.policy.tree_forward import why_not
from fastslow.policy.trials import vocabulary
from fastslow.tasks.base import Task


def evaluate_bundle(
    bundle: Bundle,
    task: Task,
    *,
    split: Split,
    params: SamplingParams,
    samples: int,
    kl_examples: int,
    dtype: torch.dtype,
    limit: int | None = None,
    kinds: Sequence[str] = ("seed", "lead", "mean"),
    told: Told = tell_nobody,
) -> list[Measurement]:
    """Measure trained and base weights, each under these kinds of context (see `measure_population`), with the seed of
    the run. `dtype` is the type that rollouts compute in; `told` as in `Evaluator`.

    Raises BadInput for a task without examples.
    """

    def policy_of(model: PreTrainedModel) -> Policy:
        return bundle_policy(bundle, model, task, params, dtype)

    policy = policy_of(bundle.model)
    policy.refresh(0)
    sampling = Sampling(params, samples, int(bundle.settings["seed"]))
    evaluator = Evaluator(
        policy=policy,
        model=bundle.model,
        base=bundle.base,
        policy_of=policy_of,
        task=task,
        settings=EvaluationSettings(sampling, kl_examples, packing=why_not(bundle.model) is None),
        told=told,
    )
    return [
        one
        for measure in (evaluator.measure, evaluator.measure_base)
        for one in measure(bundle.population, kinds, topics=bundle.topics, split=split, limit=limit)
    ]


def compute_type(settings: Mapping[str, Any]) -> str:
    """Return the type that the run of a bundle computed in, by torch's name; of one that does not say, what suits this
    machine."""
    return settings["dtype"] or ("bfloat16" if bf16_is_fast() else "float32")


def bundle_policy(
    bundle: Bundle, model: PreTrainedModel, task: Task, params: SamplingParams, dtype: torch.dtype
) -> Policy:
    """Return the policy that answers a task with a model of a bundle, as the bundle's run did. `dtype` is the type that
    rollouts compute in."""
    eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    eos_ids = [*(eos if isinstance(eos, list) else [eos] if eos is not None else []), bundle.tokenizer.eos_token_id]
    return Policy(
        engine=make_engine(model, bundle.tokenizer, eos_ids=[int(i) for i in eos_ids], dtype=dtype),
        tokenizer=bundle.tokenizer,
        task=task,
        params=params,
        window=context_window(model),
        chat_template_kwargs=bundle.settings.get("chat_template_kwargs") or {},
        template_date=bundle.settings["template_date"],
        ids_below=vocabulary(model),
        soft=rows_beside(model),
        reasoning=bundle.settings["reasoning"],
        max_turns=int(bundle.settings["max_turns"]),
    )
