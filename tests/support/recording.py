"""What `fastslow eval` samples, answer by answer: a samples file holds rewards and no texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fastslow.bundles.bundle import open_bundle, open_task
from fastslow.core.types import Example
from fastslow.evaluation.bundle import evaluate_bundle
from fastslow.policy.engines.base import SamplingParams


class Recording:
    """A task that remembers what it scored."""

    def __init__(self, task: Any):
        self._task = task
        self.answers: list[tuple[Example, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def score(self, example: Example, completion: str) -> Any:
        self.answers.append((example, completion))
        return self._task.score(example, completion)


def greedy_answers(bundle: Path, *, tokens: int) -> list[tuple[Example, str]]:
    """The questions of the bundle's test split, and what its trained weights answer greedily under its lead."""
    opened = open_bundle(bundle)
    task: Any = Recording(open_task(opened.settings["task"], opened.settings, trusted=True))
    greedy = SamplingParams(max_new_tokens=tokens, temperature=0.0, top_p=1.0)
    evaluate_bundle(
        opened, task, split="test", params=greedy, samples=1, kl_examples=0, dtype=torch.float32, kinds=["lead"]
    )
    half = len(task.answers) // 2  # the trained weights come first, then the base
    trained, base = task.answers[:half], task.answers[half:]
    assert [example.id for example, _ in trained] == [example.id for example, _ in base]
    assert trained != base, "the base answers the same: what is served could be either"
    return trained
