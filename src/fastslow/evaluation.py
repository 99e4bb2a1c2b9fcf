"""Held-out accuracy under a context, and how far the weights have moved from the base model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from .contexts import Context
from .layout import Row
from .packing import HEAD_ROWS, forward_hidden, pack, place_logits
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
    packing: bool,
) -> float | None:
    """KL(model || base) per token over the full vocabulary, in nats.

    On completions sampled from the policy at temperature 1 under `context`; both models see the same prompt. In
    fp32 without autocast: bf16 rounding alone would show as a KL near 1e-3. `packing` computes shared tokens once,
    for models where that is exact. None if there is nothing to measure.
    """
    params = SamplingParams(max_new_tokens=policy.params.max_new_tokens)
    jobs = [Job(context, e, derive_seed(seed, "kl", context.id, e.id)) for e in examples if policy.fits(context, e)]
    rollouts = policy.rollouts(jobs, params)
    kl_of, size = (_kl_of_trees, len(rollouts)) if packing else (_kl_of_rows, KL_ROWS)
    chunks = [rollouts[start : start + size] for start in range(0, len(rollouts), max(1, size))]
    kl_N = torch.cat([kl_of(model, base, chunk) for chunk in chunks]) if chunks else torch.empty(0)
    return float(kl_N.mean()) if len(kl_N) else None


@torch.no_grad()
def _kl_of_trees(model: PreTrainedModel, base: BaseModel, rollouts: Sequence[Rollout]) -> Float[Tensor, " N"]:
    """KL at every completion token, each place of the rows' token trees computed once."""
    packed = pack([Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts])
    # The base of a LoRA model is the same object with its adapters off: what is ours is computed outside of base().
    ours_P_D = forward_hidden(_plain_forward(model), model, packed)
    with base() as reference:
        theirs_P_D = forward_hidden(_plain_forward(reference), reference, packed)
    source_U, which_E = packed.source_E.to(model.device).unique(return_inverse=True)
    kl = []
    for places in source_U.split(HEAD_ROWS):
        ours = place_logits(model, ours_P_D[places])
        with base() as reference:
            kl.append(_kl(ours, place_logits(reference, theirs_P_D[places])))
    edges = packed.edge_B_T[packed.edge_B_T >= 0].to(model.device)
    return torch.cat(kl)[which_E[edges]]


@torch.no_grad()
def _kl_of_rows(model: PreTrainedModel, base: BaseModel, rollouts: Sequence[Rollout]) -> Float[Tensor, " N"]:
    rows = [torch.tensor(r.prompt_ids + r.completion_ids, device=model.device) for r in rollouts]
    ids = pad_sequence(rows, batch_first=True)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    ours = _plain_forward(model)(input_ids=ids, attention_mask=mask).logits
    with base() as reference:
        theirs = _plain_forward(reference)(input_ids=ids, attention_mask=mask).logits
    answers = [(i, slice(len(r.prompt_ids) - 1, len(rows[i]) - 1)) for i, r in enumerate(rollouts)]
    return torch.cat([_kl(ours[i, where].float(), theirs[i, where].float()) for i, where in answers])


def _kl(ours_N_V: Float[Tensor, "N V"], theirs_N_V: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    p, q = ours_N_V.log_softmax(-1), theirs_N_V.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def _plain_forward(model: PreTrainedModel) -> Callable[..., Any]:
    """The class's own forward: the instance's may be wrapped in autocast by accelerate and in a fused head by TRL."""
    return partial(type(model).forward, model)


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
