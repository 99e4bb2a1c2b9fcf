"""Held-out accuracy under a context, and how far the weights have moved from the base model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from .contexts import Context
from .policy import Job, Policy
from .population import Population
from .sampler import SamplingParams
from .seeding import derive_seed
from .types import Example, Rollout

BaseModel = Callable[[], AbstractContextManager[PreTrainedModel]]
"""Enters a context in which the returned model computes with the weights training started from."""

# Rows of one fp32 forward for the KL: two (rows, tokens, vocabulary) arrays are alive at once.
KL_ROWS = 8


@dataclass(frozen=True)
class Accuracy:
    """Mean reward over scored samples. `unscored` samples are counted, never averaged in."""

    accuracy: float | None
    n: int
    samples: int
    unscored: int


def measure_accuracy(
    policy: Policy, context: Context, examples: Sequence[Example], *, params: SamplingParams, samples: int, seed: int
) -> Accuracy:
    """Mean reward of `samples` completions per example under one context.

    The random numbers depend on seed, context and example only, so that two weights are compared on equal luck.
    """
    jobs = [
        Job(context, example, derive_seed(seed, "eval", context.id, example.id, i))
        for example in examples
        for i in range(samples)
    ]
    rewards = [r.verdict.reward for r in policy.rollouts(jobs, params)]
    scored = [r for r in rewards if r is not None]
    return Accuracy(
        accuracy=sum(scored) / len(scored) if scored else None,
        n=len(examples),
        samples=samples,
        unscored=len(rewards) - len(scored),
    )


def measure_population(
    policy: Policy, population: Population, examples: Sequence[Example], kinds: Sequence[str], **how: Any
) -> list[dict[str, Any]]:
    """One row per kind of context: `seed`, `lead`, and `mean` over the contexts in use (a context is measured once)."""
    needed = {c.id: c for c in _contexts(population, kinds)}
    found = {c.id: measure_accuracy(policy, c, examples, **how) for c in needed.values()}
    rows = []
    for kind in kinds:
        members = _contexts(population, [kind])
        results = [found[c.id] for c in members]
        values = [r.accuracy for r in results if r.accuracy is not None]
        rows.append(
            {
                **asdict(results[0]),
                "context": kind,
                "context_id": members[0].id if kind != "mean" else None,
                "accuracy": sum(values) / len(values) if values else None,
                "unscored": sum(r.unscored for r in results),
            }
        )
    return rows


def _contexts(population: Population, kinds: Sequence[str]) -> list[Context]:
    by_kind = {"seed": [population.seed], "lead": [population.lead], "mean": population.members}
    return [c for kind in kinds for c in by_kind[kind]]


def measure_kl(
    policy: Policy,
    model: PreTrainedModel,
    base: BaseModel,
    context: Context,
    examples: Sequence[Example],
    *,
    seed: int,
) -> float | None:
    """KL(model || base) per token over the full vocabulary, in nats.

    On completions sampled from the policy at temperature 1 under `context`; both models see the same prompt. In
    fp32 without autocast: bf16 rounding alone would show as a KL near 1e-3. None if there is nothing to measure.
    """
    params = SamplingParams(max_new_tokens=policy.params.max_new_tokens)
    jobs = [Job(context, e, derive_seed(seed, "kl", context.id, e.id)) for e in examples if policy.fits(context, e)]
    rollouts = policy.rollouts(jobs, params)
    total, tokens = 0.0, 0
    for start in range(0, len(rollouts), KL_ROWS):
        rows = rollouts[start : start + KL_ROWS]
        ours = completion_logprobs(model, rows)
        with base() as reference:
            theirs = completion_logprobs(reference, rows)
        for p, q in zip(ours, theirs, strict=True):
            total += float((p.exp() * (p - q)).sum())
            tokens += p.size(0)
    return total / tokens if tokens else None


@torch.no_grad()
def completion_logprobs(model: PreTrainedModel, rollouts: Sequence[Rollout]) -> list[torch.Tensor]:
    """Full log-probabilities (T, V) at every completion position of each rollout, in the weights' own precision."""
    device = next(model.parameters()).device
    rows = [list(r.prompt_ids) + list(r.completion_ids) for r in rollouts]
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, device=device)
        mask[i, : len(row)] = 1
    was_training = model.training
    model.eval()
    # The class's own forward: the instance's may be wrapped in autocast by accelerate and in a fused head by TRL.
    logits = type(model).forward(model, input_ids=ids, attention_mask=mask).logits
    model.train(was_training)
    return [
        logits[i, len(r.prompt_ids) - 1 : len(r.prompt_ids) + len(r.completion_ids) - 1].float().log_softmax(-1)
        for i, r in enumerate(rollouts)
    ]


def adapters_off(model: Any) -> BaseModel:
    """The base of a LoRA model: the model itself with its adapters off."""

    @contextmanager
    def base() -> Iterator[PreTrainedModel]:
        with model.disable_adapter():
            yield model

    return base


def frozen_copy(load: Callable[[], PreTrainedModel]) -> BaseModel:
    """The base of a fully trained model: a frozen copy, loaded when first asked for."""
    loaded: list[PreTrainedModel] = []

    def base() -> AbstractContextManager[PreTrainedModel]:
        if not loaded:
            loaded.append(load().eval().requires_grad_(False))
        return nullcontext(loaded[0])

    return base
