"""Measure how far the weights have moved from the base model, KL(model || base), and the model's entropy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from fastslow.contexts.context import Context
from fastslow.core import processes
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.policy import shards
from fastslow.policy.base_model import BaseModel
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.engines.rows import without_cache
from fastslow.policy.policy import Job, Policy
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import HEAD_ROWS, forward_hidden, pack, place_logits

# Rows of one fp32 forward for the KL: two (rows, tokens, vocabulary) arrays are alive at once.
KL_ROWS = 8


STAND_IN = Rollout("", "", (0,), (0,), (0.0,), "", Verdict.unscored(""), -1)
"""A row of two tokens, for a process that has no row left where another one has."""


@dataclass(frozen=True)
class Drift:
    """KL(model || base) and the model's entropy, per token over the full vocabulary, in nats. None where there was
    nothing to measure. `tokens` is the number of tokens of which they are the means."""

    kl: float | None
    entropy: float | None
    tokens: int = 0


def measure_drift(
    policy: Policy,
    model: PreTrainedModel,
    base: BaseModel,
    context: Context,
    examples: Sequence[Example],
    *,
    seed: int,
    packing: bool,
) -> Drift:
    """Measure the distance of the model from the base, and the entropy of the model.

    Compares the two on completions sampled from the policy at temperature 1 under `context`; both models see the same
    prompt. Computes in fp32 without autocast: bf16 rounding alone would show as a KL near 1e-3 (under FSDP2 in the type
    of its mixed precision). `packing` computes
    shared tokens once, for models where that is exact. Every process has to call this function.
    """
    params = SamplingParams(max_new_tokens=policy.params.max_new_tokens)
    jobs = [Job(context, e, derive_seed(seed, "kl", context.id, e.id)) for e in examples if policy.fits(context, e)]
    rollouts = policy.rollouts(jobs, params)
    rollouts = rollouts[processes.share_of(len(rollouts))]  # the forwards are dealt out as the rollouts were
    compute, size = (_drift_of_trees, len(rollouts)) if packing else (_drift_of_rows, KL_ROWS)
    chunks = [rollouts[start : start + size] for start in range(0, len(rollouts), max(1, size))]
    # A forward of sharded models gathers their weights: every process has to make as many, and to know it before.
    missing = max(processes.gather([len(chunks)])) - len(chunks) if shards.is_sharded(model) else 0
    own = [compute(model, base, chunk).cpu() for chunk in chunks]
    for _ in range(missing):
        _drift_of_rows(model, base, [STAND_IN])
    both_N_2 = torch.cat([torch.empty(0, 2), *processes.gather(own)])
    return Drift(*map(float, both_N_2.mean(0)), tokens=len(both_N_2)) if len(both_N_2) else Drift(None, None)


@torch.no_grad()
def _drift_of_trees(model: PreTrainedModel, base: BaseModel, rollouts: Sequence[Rollout]) -> Float[Tensor, "N 2"]:
    """Compute KL and entropy at every completion token, each place of the rows' token trees once."""
    packed = pack([Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts])
    # The base of a LoRA model is the same object with its adapters off: the model's part is computed outside of base().
    ours_P_D = forward_hidden(_plain_forward(model), model, packed)
    with base() as reference:
        theirs_P_D = forward_hidden(_plain_forward(reference), reference, packed)
    source_U, which_E = packed.source_E.to(model.device).unique(return_inverse=True)
    drifts = []
    for places in source_U.split(HEAD_ROWS):
        ours = place_logits(model, ours_P_D[places])
        with base() as reference:
            drifts.append(_drift(ours, place_logits(reference, theirs_P_D[places])))
    edges = packed.edge_B_T[packed.edge_B_T >= 0][_said(rollouts)].to(model.device)
    return torch.cat(drifts)[which_E[edges]]


@torch.no_grad()
def _drift_of_rows(model: PreTrainedModel, base: BaseModel, rollouts: Sequence[Rollout]) -> Float[Tensor, "N 2"]:
    rows = [torch.tensor(r.prompt_ids + r.completion_ids, device=model.device) for r in rollouts]
    ids = pad_sequence(rows, batch_first=True)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    ours = _plain_forward(model)(input_ids=ids, attention_mask=mask).logits
    with base() as reference:
        theirs = _plain_forward(reference)(input_ids=ids, attention_mask=mask).logits
    answers = [(i, slice(len(r.prompt_ids) - 1, len(rows[i]) - 1)) for i, r in enumerate(rollouts)]
    drifts = torch.cat([_drift(ours[i, where].float(), theirs[i, where].float()) for i, where in answers])
    return drifts[_said(rollouts).to(drifts.device)]


def _said(rollouts: Sequence[Rollout]) -> Bool[Tensor, " N"]:
    """Return which completion tokens of these rollouts, one after another, the model said."""
    return torch.tensor(
        [said for r in rollouts for said in (r.said or [True] * len(r.completion_ids))], dtype=torch.bool
    )


def _drift(ours_N_V: Float[Tensor, "N V"], theirs_N_V: Float[Tensor, "N V"]) -> Float[Tensor, "N 2"]:
    """Compute KL and entropy of the model's distribution at each place."""
    p, q = ours_N_V.log_softmax(-1), theirs_N_V.log_softmax(-1)
    weights = p.exp()
    return torch.stack([(weights * (p - q)).sum(-1), -(weights * p).sum(-1)], dim=-1)


def _plain_forward(model: PreTrainedModel) -> Callable[..., Any]:
    """Return the class's own forward: the instance's may be wrapped in autocast by accelerate, and in a fused head by
    TRL. Weights that are cut up are whole only within a call of the model; accelerate wraps nothing there, and TRL's
    head has to be asked for."""
    if shards.is_sharded(model):
        return partial(model, **without_cache(model))
    return partial(type(model).forward, model, **without_cache(model))
