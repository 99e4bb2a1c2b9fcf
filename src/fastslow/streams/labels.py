"""Decide which task label the learner sees: the true label, none, or, for a share of the examples, a wrong one.

`Example.task` is the true label, for scoring, measuring and files. Channels and routers ask `Topics.of`, which asks
here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.core.registry import did_you_mean
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example


class Labels:
    """Return labels by one of three rules: `visible`, `hidden`, or `noisy:SHARE`, where a fixed SHARE of the examples
    has a wrong label that never changes.

    Args:
        spec: one of the three rules.
        tasks: names of the tasks, from which wrong labels are drawn.
        seed: the run's seed.

    Raises BadInput for any other rule, and for noise with a single task.
    """

    def __init__(self, spec: str, *, tasks: Sequence[str], seed: int):
        self.noise = noise_of(spec)
        self.hidden = spec == "hidden"
        self._tasks = list(tasks)
        self._seed = seed
        if self.noise and len(self._tasks) < 2:
            raise BadInput(f"labels '{spec}' needs several tasks: with one task no label can be wrong.")

    def of(self, example: Example) -> str:
        if self.hidden:
            return ""
        rng = random.Random(derive_seed(self._seed, "label", example.id))
        if rng.random() >= self.noise:
            return example.task
        return rng.choice([task for task in self._tasks if task != example.task])


def noise_of(spec: str) -> float:
    """Return the share of wrong labels. Raises BadInput for an unknown rule."""
    if spec in ("visible", "hidden"):
        return 0.0
    kind, _, share = spec.partition(":")
    try:
        noise = float(share) if kind == "noisy" else -1.0
    except ValueError:
        noise = -1.0
    if not 0.0 <= noise <= 1.0:
        meant = "" if kind == "noisy" else did_you_mean(kind, ("visible", "hidden", "noisy"))
        raise BadInput(f"labels are 'visible', 'hidden' or 'noisy:SHARE' (a share from 0 to 1), got '{spec}'.{meant}")
    return noise
