"""Held-out accuracy under a context, and how far the weights have moved from the base model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import t as student_t
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout
from fastslow.metrics import accuracy_interval
from fastslow.policy.engines.transformers import SamplingParams
from fastslow.policy.policy import Job, Policy
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import HEAD_ROWS, forward_hidden, pack, place_logits
from fastslow.topics.topics import Topics

BaseModel = Callable[[], AbstractContextManager[PreTrainedModel]]
"""Enters a context in which the returned model computes with the weights training started from."""

Rewards = Sequence[Sequence[float | None]]
"""Rewards of each example, by sample; None is unscored."""

CHOOSING = ("cluster", "nearest")
"""Kinds of context that are chosen by the question."""

# Rows of one fp32 forward for the KL: two (rows, tokens, vocabulary) arrays are alive at once.
KL_ROWS = 8


@dataclass(frozen=True)
class Accuracy:
    """Mean reward over scored samples (mean@n), with a 95% interval; `best` is the mean over examples of their best
    sample (best@n). `unscored` samples are counted, never averaged in."""

    accuracy: float | None
    low: float | None
    high: float | None
    best: float | None
    n: int
    samples: int
    unscored: int


@dataclass(frozen=True)
class Drift:
    """KL(model || base) and the model's entropy, per token over the full vocabulary, in nats. None where there was
    nothing to measure."""

    kl: float | None
    entropy: float | None


def measure_accuracy(
    policy: Policy, context: Context, examples: Sequence[Example], *, params: SamplingParams, samples: int, seed: int
) -> Accuracy:
    """Mean reward of `samples` completions per example under one context.

    The random numbers depend on seed, context and example only, so that two weights are compared on equal luck.
    """
    return _accuracy(_rewards(policy, context, examples, params=params, samples=samples, seed=seed), samples)


def measure_population(
    policy: Policy,
    population: Population,
    examples: Sequence[Example],
    kinds: Sequence[str],
    *,
    topics: Topics | None = None,
    **how: Any,
) -> list[dict[str, Any]]:
    """One row per kind of context: `seed`, `lead`, and `mean` over the contexts in use; `all` is a row for each of
    those; `cluster` and `nearest` choose by the question among those that `topics` has kept (`chosen`: for how many
    examples each). An example is answered once under a context, whatever that is measured as."""
    named = [pair for kind in kinds for pair in _contexts(population, kind, examples, topics)]
    found = _rewards_of_pairs(policy, [pair for _, dealt in named for pair in _pairs(dealt, examples)], **how)
    rows, rewards_of = [], {}
    for kind, dealt in named:
        # Contexts of a mean count as more samples of each example: a population of K deals every question to all.
        rewards = [
            [r for c in contexts for r in found[c.id, e.id]] for contexts, e in zip(dealt, examples, strict=True)
        ]
        row = asdict(_accuracy(rewards, how["samples"]))
        one = len({c.id for contexts in dealt for c in contexts}) == 1 and kind not in ("mean", *CHOOSING)
        rows.append({**row, "context": kind, "context_id": dealt[0][0].id if one else None})
        if kind == "mean":
            rows[-1]["best"] = None  # of how many samples would depend on the population
        rewards_of[kind] = rewards
    for row in rows:
        if row["context"] in CHOOSING and topics is not None:
            dealt = next(dealt for kind, dealt in named if kind == row["context"])
            row["chosen"] = dict(Counter(contexts[0].id for contexts in dealt))
            row |= _choice(topics, examples, rewards_of[row["context"]], rewards_of.get("lead"))
    return rows


def means(rows: Sequence[Mapping[str, Any]], what: str) -> dict[str, float]:
    """The mean over tasks of `accuracy`, `kl` or `entropy`, by kind of context; only where every task has it."""
    values: dict[str, list[float | None]] = {}
    for row in rows:
        values.setdefault(row["context"], []).append(row.get(what))
    known = {context: [v for v in found if v is not None] for context, found in values.items()}
    return {c: sum(known[c]) / len(known[c]) for c, found in values.items() if found and len(known[c]) == len(found)}


def _contexts(
    population: Population, kind: str, examples: Sequence[Example], topics: Topics | None
) -> list[tuple[str, list[list[Context]]]]:
    """(name, contexts of each example) for every row of this kind."""
    if kind == "all":
        return [("member", [[c]] * len(examples)) for c in population.members]
    if kind in CHOOSING:
        assert topics is not None, "only a population with an archive can be chosen from"
        return [(kind, [[topics.choose(kind, population, e)] for e in examples])]
    by_kind = {"seed": [population.seed], "lead": [population.lead], "mean": population.members}
    return [(kind, [by_kind[kind]] * len(examples))]


def _choice(
    topics: Topics, examples: Sequence[Example], chosen: Rewards, lead: Rewards | None
) -> dict[str, float | None]:
    """How well contexts were chosen: the share of examples whose topic is mostly of their own task, and the gain over
    the lead context on the same examples with its 95% interval (Student's t). Of a task that no topic holds an
    example of no choice could be right: its examples do not count, and where there are no others the share is None."""
    owners, met = topics.owners(), topics.met()
    right = [owners.get(topics.entry_name(e) or "") == e.task for e in examples if e.task in met]
    found: dict[str, float | None] = {"right_topic": sum(right) / len(right) if right else None}
    found |= dict.fromkeys(("gain", "gain_low", "gain_high"), None)
    pairs = [(_mean(c), _mean(at)) for c, at in zip(chosen, lead or (), strict=False)]
    gains = [c - at for c, at in pairs if c is not None and at is not None]
    if len(gains) < 2:
        return found
    half = float(student_t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5)
    return {**found, "gain": fmean(gains), "gain_low": fmean(gains) - half, "gain_high": fmean(gains) + half}


def _mean(rewards: Sequence[float | None]) -> float | None:
    scored = [r for r in rewards if r is not None]
    return sum(scored) / len(scored) if scored else None


def _pairs(dealt: Sequence[Sequence[Context]], examples: Sequence[Example]) -> list[tuple[Context, Example]]:
    return [(c, e) for contexts, e in zip(dealt, examples, strict=True) for c in contexts]


def _rewards_of_pairs(
    policy: Policy, pairs: Sequence[tuple[Context, Example]], **how: Any
) -> dict[tuple[str, str], list[float | None]]:
    """Each pair once, context by context."""
    wanted: dict[str, tuple[Context, dict[str, Example]]] = {}
    for context, example in pairs:
        wanted.setdefault(context.id, (context, {}))[1][example.id] = example
    return {
        (context.id, id): rewards
        for context, some in wanted.values()
        for id, rewards in zip(some, _rewards(policy, context, list(some.values()), **how), strict=True)
    }


def _rewards(
    policy: Policy, context: Context, examples: Sequence[Example], *, params: SamplingParams, samples: int, seed: int
) -> list[list[float | None]]:
    """Rewards of each example, in the order of its samples; None is unscored."""
    jobs = [
        Job(context, example, derive_seed(seed, "eval", context.id, example.id, i))
        for example in examples
        for i in range(samples)
    ]
    rewards = [r.verdict.reward for r in policy.rollouts(jobs, params)]
    return [rewards[i * samples : (i + 1) * samples] for i in range(len(examples))]


def _accuracy(rewards: Sequence[Sequence[float | None]], samples: int) -> Accuracy:
    scored = [[r for r in row if r is not None] for row in rewards]
    flat = [r for row in scored for r in row]
    interval = accuracy_interval(scored)
    return Accuracy(
        accuracy=sum(flat) / len(flat) if flat else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        best=sum(map(max, filter(None, scored))) / len([row for row in scored if row]) if flat else None,
        n=len(rewards),
        samples=samples,
        unscored=sum(r is None for row in rewards for r in row),
    )


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
    """How far the model is from the base, and how sure of itself.

    On completions sampled from the policy at temperature 1 under `context`; both models see the same prompt. In
    fp32 without autocast: bf16 rounding alone would show as a KL near 1e-3. `packing` computes shared tokens once,
    for models where that is exact.
    """
    params = SamplingParams(max_new_tokens=policy.params.max_new_tokens)
    jobs = [Job(context, e, derive_seed(seed, "kl", context.id, e.id)) for e in examples if policy.fits(context, e)]
    rollouts = policy.rollouts(jobs, params)
    of, size = (_drift_of_trees, len(rollouts)) if packing else (_drift_of_rows, KL_ROWS)
    chunks = [rollouts[start : start + size] for start in range(0, len(rollouts), max(1, size))]
    both_N_2 = torch.cat([of(model, base, chunk) for chunk in chunks]) if chunks else torch.empty(0, 2)
    return Drift(*map(float, both_N_2.mean(0))) if len(both_N_2) else Drift(None, None)


@torch.no_grad()
def _drift_of_trees(model: PreTrainedModel, base: BaseModel, rollouts: Sequence[Rollout]) -> Float[Tensor, "N 2"]:
    """KL and entropy at every completion token, each place of the rows' token trees computed once."""
    packed = pack([Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts])
    # The base of a LoRA model is the same object with its adapters off: what is ours is computed outside of base().
    ours_P_D = forward_hidden(_plain_forward(model), model, packed)
    with base() as reference:
        theirs_P_D = forward_hidden(_plain_forward(reference), reference, packed)
    source_U, which_E = packed.source_E.to(model.device).unique(return_inverse=True)
    drifts = []
    for places in source_U.split(HEAD_ROWS):
        ours = place_logits(model, ours_P_D[places])
        with base() as reference:
            drifts.append(_drift(ours, place_logits(reference, theirs_P_D[places])))
    edges = packed.edge_B_T[packed.edge_B_T >= 0].to(model.device)
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
    return torch.cat([_drift(ours[i, where].float(), theirs[i, where].float()) for i, where in answers])


def _drift(ours_N_V: Float[Tensor, "N V"], theirs_N_V: Float[Tensor, "N V"]) -> Float[Tensor, "N 2"]:
    """KL and entropy of our distribution at each place."""
    p, q = ours_N_V.log_softmax(-1), theirs_N_V.log_softmax(-1)
    weights = p.exp()
    return torch.stack([(weights * (p - q)).sum(-1), -(weights * p).sum(-1)], dim=-1)


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
