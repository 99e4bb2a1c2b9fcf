"""Hold the two models of a gate, and measure both in the same way on the same questions."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from fastslow.bundles.bundle import Bundle, check_kind, open_bundle
from fastslow.bundles.digest import bundle_digest
from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population
from fastslow.core.measurement import Answer
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.evaluation.accuracy import Sampling, measure_population
from fastslow.evaluation.bundle import bundle_policy
from fastslow.evaluation.drift import Drift, measure_drift
from fastslow.files.manifest import digest
from fastslow.gate.policy import Rules
from fastslow.gate.verdict import Model
from fastslow.policy.base_model import frozen_copy
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from fastslow.policy.policy import Job, Policy
from fastslow.policy.tree_forward import why_not
from fastslow.tasks.base import Task
from fastslow.topics.topics import CHOOSING

DRIFT_EXAMPLES = 16
"""Questions of a task on which the KL to the base is measured, as in an evaluation."""

BASE = "base"
"""What `--baseline` is called where the candidate is compared with the weights that it was trained from."""


@dataclass
class Side:
    """One of the two models, with the context that is released with it."""

    model: Model
    bundle: Bundle
    kind: str
    dtype: torch.dtype
    seed: int
    _policies: dict[tuple[int, SamplingParams], Policy] = field(default_factory=dict)

    def answer(self, task: Task, examples: Sequence[Example], rules: Rules) -> list[list[Answer]]:
        """Answer every example as often as the rules say; returns the answers to each."""
        sampling = Sampling(self._params(rules), rules.samples, self.seed)
        (measured,) = measure_population(
            self._policy(task, sampling.params), self.bundle.population, examples, [self.kind], sampling,
            task=task.name, split="test", weights="trained", topics=self.bundle.topics,
        )  # fmt: skip
        return [list(measured.answers[i : i + rules.samples]) for i in range(0, len(measured.answers), rules.samples)]

    def prompt_tokens(self, task: Task, examples: Sequence[Example], rules: Rules) -> float:
        """Return the mean number of tokens of the prompts, context included."""
        policy = self._policy(task, self._params(rules))
        return statistics.fmean(len(policy.prompt_ids(self._context(e), e)) for e in examples)

    def seconds(self, task: Task, example: Example, rules: Rules) -> float:
        """Return how long the answer to one question takes, asked alone."""
        policy = self._policy(task, self._params(rules))
        context = self._context(example)
        job = Job(context, example, derive_seed(self.seed, "latency", example.id))
        started = time.perf_counter()
        policy.rollouts([job])
        return time.perf_counter() - started

    def kl(self, task: Task, examples: Sequence[Example], rules: Rules) -> float | None:
        """Return KL(model || base) in nats per token, the mean over all tokens of the answers, each under the context
        that is released for its question; None where no example fits the window."""
        groups: dict[str, tuple[Context, list[Example]]] = {}
        for example in examples:
            context = self._context(example)
            groups.setdefault(context.id, (context, []))[1].append(example)
        params = self._params(rules)
        drifts = [self._drift(task, group, params, context) for context, group in groups.values()]
        measured = [(drift.kl, drift.tokens) for drift in drifts if drift.kl is not None]
        return sum(kl * n for kl, n in measured) / sum(n for _, n in measured) if measured else None

    def neutral_kl(self, task: Task, examples: Sequence[Example], tokens: int) -> float | None:
        """Return the same on answers of up to `tokens` tokens under no context at all."""
        return self._drift(task, examples, SamplingParams(max_new_tokens=tokens), seed_context("")).kl

    def _drift(self, task: Task, examples: Sequence[Example], params: SamplingParams, context: Context) -> Drift:
        return measure_drift(
            self._policy(task, params), self.bundle.model, self.bundle.base, context, examples,
            seed=self.seed, packing=why_not(self.bundle.model) is None,
        )  # fmt: skip

    def _params(self, rules: Rules) -> SamplingParams:
        tokens = int(self.bundle.settings["max_completion_length"])
        return SamplingParams(max_new_tokens=tokens, temperature=rules.temperature, top_p=rules.top_p)

    def _context(self, example: Example) -> Context:
        population, topics = self.bundle.population, self.bundle.topics
        if self.kind in CHOOSING and topics is not None:
            return topics.choose(self.kind, population, example)
        return population.seed if self.kind == "seed" else population.lead

    def _policy(self, task: Task, params: SamplingParams) -> Policy:
        key = (id(task), params)  # two tasks of a user's may share their name; the policy keeps its task alive
        if key not in self._policies:
            policy = bundle_policy(self.bundle, self.bundle.model, task, params, self.dtype)
            policy.refresh(0)
            self._policies[key] = policy
        return self._policies[key]


def open_side(name: str, folder: Path, rules: Rules, *, seed: int, dtype: torch.dtype | None, trusted: bool) -> Side:
    """Open a bundle as a side of a gate; `name` is what the user called it. `dtype` is the type to answer in, by
    default that of the bundle's run. Raises BadInput for a bundle that is damaged or put together of two."""
    model = Model(name, bundle_digest(folder))
    bundle = open_bundle(folder, choosing=rules.contexts in CHOOSING, trusted=trusted)
    if rules.contexts in CHOOSING:
        check_kind(bundle, rules.contexts)
    return Side(model, bundle, rules.contexts, dtype or _dtype_of(bundle), seed)


def base_side(of: Side) -> Side:
    """Return the weights that a bundle was trained from, under the seed context, as the other side of a gate."""
    settings = of.bundle.settings
    source = resolve_model(settings["model"])
    model, tokenizer = load_model(source), load_tokenizer(source)
    make_fit(model, tokenizer, saves=False)
    # Its own base: a second copy of equal weights would only take memory.
    bundle = Bundle(
        model, frozen_copy(lambda: model), tokenizer, Population(1, of.bundle.population.seed), None, settings
    )
    return Side(
        Model(settings["model"], _base_digest(Path(source.path), model), BASE), bundle, "seed", of.dtype, of.seed
    )


def _base_digest(folder: Path, model: torch.nn.Module) -> str:
    """Return the digest of a base model: of its weight files, or of the hub's commit where it is no local folder."""
    if folder.is_dir():
        names = sorted(p.name for p in folder.glob("*.safetensors")) or ["config.json"]
        lines = "".join(f"{digest(folder / name)}  {name}\n" for name in names)
    else:
        lines = f"{folder}@{getattr(model.config, '_commit_hash', None)}"
    return hashlib.sha256(lines.encode()).hexdigest()


def _dtype_of(bundle: Bundle) -> torch.dtype:
    return getattr(torch, bundle.settings["dtype"] or "float32")


def latency_rise(
    candidate: Callable[[Example], float], baseline: Callable[[Example], float], examples: Sequence[Example]
) -> tuple[float, float]:
    """Return the 95th percentile of the seconds for one question, of the candidate and of the baseline.

    The two take turns, so that whatever else the machine does meets both alike; the first question only warms up.
    """
    pairs = [(candidate(example), baseline(example)) for example in examples][1:]
    first, second = (sorted(side) for side in zip(*pairs, strict=True))
    at = max(0, round(0.95 * len(pairs)) - 1)
    return first[at], second[at]
