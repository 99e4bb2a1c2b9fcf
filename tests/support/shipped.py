"""Bundles made in a second, without training: a tiny Llama, contexts of the test's choice, topics where asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fastslow.bundles.bundle import write_bundle
from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context, WorkedExample, dump_examples
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.registry.registry import ModelRegistry
from fastslow.streams.labels import Labels
from fastslow.topics.archive import Archive
from fastslow.topics.clusters import Clusters
from fastslow.topics.embedders import make_embedder
from fastslow.topics.topics import Topics
from tests.support.registries import POLICY, verdict
from tests.support.runs import WORDINGS
from tests.support.tiny import tiny_model, tiny_tokenizer

SETTINGS: dict[str, Any] = {
    "mode": "fst", "task": "jsonl:unread.jsonl", "tasks": None, "labels": "hidden", "clusters": "none",
    "embedder": "ngrams",
    "train_size": None, "validation_size": 6, "test_size": 4, "data_seed": 0, "seed": 3, "max_completion_length": 12,
    "eval_samples": 1, "eval_temperature": 0.0, "eval_top_p": 1.0, "dtype": "float32", "chat_template_kwargs": None,
    "template_date": "2026-01-01",
}  # fmt: skip


def a_context(instruction: str = "", *examples: tuple[str, str]) -> Context:
    """A context with this instruction and these worked examples (question, answer)."""
    worked = dump_examples([WorkedExample(*pair) for pair in examples])
    return Context({INSTRUCTION: instruction, EXAMPLES: worked})


CONTEXTS = (
    a_context("Answer with the number alone.", ("What is 1 + 2?", "3"), ("What is 5 + 5?", "10")),
    a_context("Spell slowly.", ("Spell 'ab' backwards.", "ba")),
    a_context("Name the day."),
    a_context(),
)


def asked(task: str, number: int) -> Example:
    """A question of one of three tasks that read differently."""
    text = WORDINGS[task].format(number, number + 1)
    return Example(f"{task}-{number}", task, "test", ({"role": "user", "content": text},))


def topics_of(contexts: Sequence[Context], embedder: str = "ngrams") -> Topics:
    """Topics of three tasks, found by clustering; each of the first three contexts is best on one of them."""
    topics = Topics(
        labels=Labels("hidden", tasks=[], seed=0), stream=None, clusters=Clusters(make_embedder(embedder)),
        archive=Archive(),
    )  # fmt: skip
    assert topics.clusters is not None
    examples = [asked(task, number) for number in range(12) for task in WORDINGS]
    for start in range(0, len(examples), 6):
        topics.clusters.observe(examples[start : start + 6])
    best = dict(zip(WORDINGS, contexts, strict=False))
    anchor = [asked(task, number) for task in WORDINGS for number in range(12)]
    scores = {c.id: {e.id: float(best.get(e.task) is c) for e in anchor} for c in contexts[:3]}
    topics.keep(scores, anchor, policy_version=0)
    return topics


def lively_model() -> Any:
    """A tiny model whose greedy answers differ from question to question; plain random weights repeat one token."""
    model = tiny_model(tiny_tokenizer(), seed=1)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim == 2 and "embed" not in name:
                weights *= 10
    return model


def promoted(folder: Path, bundle: Path, contexts: str) -> str:
    """Make a registry in `folder`, and in it the bundle the champion, by a verdict on these contexts; return the
    champion's name."""
    registry = ModelRegistry.create(folder)
    policy = f"contexts: {contexts}\n{POLICY}"
    digest = hashlib.sha256(policy.encode()).hexdigest()
    passed = verdict(bundle, None, policy=policy, policy_digest=digest, contexts=contexts)
    registry.promote(registry.add(bundle), passed)
    return f"{folder}@champion"


def make_bundle(
    folder: Path,
    contexts: Sequence[Context] = CONTEXTS,
    *,
    template: str | None = None,
    model: Any = None,
    topics: Topics | None = None,
    seed: Context | None = None,
    **settings: Any,
) -> Path:
    """Write a bundle into `folder`/bundle, the first context its lead, and its base into `folder`/base. The seed is the
    lead as well, unless another one is given."""
    tokenizer = tiny_tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    base = folder / "base"
    if not base.exists():
        tiny_model(tokenizer).save_pretrained(base)
        tokenizer.save_pretrained(base)
    path = folder / "bundle"
    write_bundle(
        path,
        model=model if model is not None else tiny_model(tokenizer, seed=1),
        tokenizer=tokenizer,
        population=Population(4, seed or contexts[0], list(contexts), {c.id: c for c in contexts}),
        router={},
        topics=topics or Topics(labels=Labels("visible", tasks=[], seed=0), stream=None),
        base_name=str(base),
    )
    found = {"clusters": "inferred"} if topics is not None else {}
    content = {"settings": {**SETTINGS, "model": str(base), **found, **settings}}
    (path / "bundle.json").write_text(json.dumps(content))
    return path
