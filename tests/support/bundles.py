"""Bundles of tiny models, without a run: what a gate and a registry take."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fastslow.bundles.bundle import write_bundle
from fastslow.contexts.context import seed_context
from fastslow.contexts.population import Population
from fastslow.core.types import Example, Split, Verdict
from fastslow.streams.labels import Labels
from fastslow.topics.topics import Topics
from tests.support.tiny import save_tiny, tiny_model, tiny_tokenizer

TASK = "tests.support.bundles:coins"
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Coins:
    """As many questions as asked for, others under every data seed. Whether an answer is right depends on its text and
    the question as a coin does: random weights are right about half of the time."""

    name = "coins"

    def __init__(self, sizes: dict[str, int], data_seed: int, unscored: bool = False):
        self._sizes, self._seed, self._unscored = sizes, data_seed, unscored

    def split(self, name: Split) -> Sequence[Example]:
        first = 100_000 * self._seed + 10_000 * SPLITS.index(name)
        return [
            Example(f"c{first + i}", self.name, name, ({"role": "user", "content": f"Coin {first + i}?"},))
            for i in range(self._sizes[name])
        ]

    def score(self, example: Example, completion: str) -> Verdict:
        if self._unscored:
            return Verdict.unscored("the scorer is down")
        return Verdict(float(zlib.crc32(f"{completion}{example.id}".encode("utf-8", "replace")) % 2), "")

    def answer(self, example: Example) -> str | None:
        return None


def coins(train_size: int = 8, validation_size: int = 4, test_size: int = 4, data_seed: int = 0) -> Coins:
    return Coins({"train": train_size, "validation": validation_size, "test": test_size}, data_seed)


def unscored(train_size: int = 8, validation_size: int = 4, test_size: int = 4, data_seed: int = 0) -> Coins:
    return Coins({"train": train_size, "validation": validation_size, "test": test_size}, data_seed, unscored=True)


def never(train_size: int = 8, validation_size: int = 4, test_size: int = 4, data_seed: int = 0) -> Any:
    """A task on which everything is wrong."""
    task = coins(train_size, validation_size, test_size, data_seed)
    task.name = "never"
    task.score = lambda example, completion: Verdict(0.0, "")  # type: ignore[method-assign]
    return task


def tiny_bundle(folder: Path, *, noise: float = 0.0, instruction: str = "Answer.", **settings: Any) -> Path:
    """Write a bundle whose weights are those of the base in `folder`'s parent, plus noise."""
    base = folder.parent / "base"
    if not base.exists():
        save_tiny(base)
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for weights in model.parameters():
            weights.add_(noise * torch.randn_like(weights))
    of_run = {
        "mode": "rl", "model": str(base), "task": TASK, "seed": 3, "train_size": 8, "validation_size": 4,
        "test_size": 4, "data_seed": 0, "max_completion_length": 5, "eval_samples": 1, "eval_temperature": 0.0,
        "eval_top_p": 1.0, "dtype": "float32", **settings,
    }  # fmt: skip
    write_bundle(
        folder,
        model=model,
        tokenizer=tokenizer,
        population=Population(1, seed_context(instruction)),
        router={},
        topics=Topics(labels=Labels("visible", tasks=[TASK], seed=3), stream=None, archive=None),
        base_name=str(base),
    )
    (folder / "bundle.json").write_text(json.dumps({"settings": of_run}))
    return folder
