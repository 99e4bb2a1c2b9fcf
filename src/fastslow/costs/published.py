"""Measurements that others published, and the efficiencies that follow from them.

They do two jobs: the efficiency of decoding is derived from `SERVED`, and the tests hold the formulas to all rows. A
constant that is bent until one step of one paper fits fails the other rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastslow.costs.work import Range

MOST_PREFILL = 0.15
"""Share of a request's time that reading its prompt may take for decoding to be what bounds a server. Above it the
roofline of decoding says nothing: the two rows of `SERVED` above it lie at 23% and 53%, the two below at 6% and 7%."""


@dataclass(frozen=True)
class Served:
    """Hold one row of a load test of a server on one GPU: requests of `prompt` tokens answered by `answer` tokens,
    `users` at a time, and the tokens a second that all users got together."""

    prompt: int
    answer: int
    users: int
    tokens_per_second: float

    @property
    def context(self) -> float:
        """Mean length of a row while it is decoded."""
        return self.prompt + self.answer / 2


SERVED = (
    Served(2048, 2048, 40, 2814.68),
    Served(128, 1024, 396, 13322.04),
    Served(8192, 512, 7, 501.56),
    Served(128, 128, 512, 14539.53),
)
SERVED_SOURCE = "vLLM, Qwen3-8B in bf16, one H100: tgarg01/silybench-data, derived/csv/capacity.csv, 24 Sep 2026"

EFFICIENCY = Range(0.527, 0.607, 0.699)
"""Share of the data sheet's bandwidth that the two rows of SERVED reach in which decoding bounds the server, and their
geometric mean; tests/costs/test_published.py derives the numbers again."""

NEMO = {"rollouts": 2048, "answer": 1060, "longest": 4096, "gpus": 16, "seconds": 97.7}
NEMO_SOURCE = "NeMo-RL v0.4, Llama-3.1-8B, GRPO on policy, 16xH100: docs/about/performance-summary.md"

MFU = Range(0.30, 0.35, 0.40)
"""Share of the data sheet's FLOP/s in training on rows without padding. An assumption of ours, held to NeMo-RL's step.
Padded rows reach a tenth of it: verl issue 7203 measured 2.5% with Qwen3.5-9B on eight H800."""

ELSEWHERE = Range(0.06, 0.15, 0.30)
"""Efficiency of decoding in the trainer's process (engine 'transformers'): an assumption of ours, of which nothing was
published that we know. A run of a few steps as --pilot measures it."""

TRANSPORT = Range(0.5e9, 2e9, 8e9)
"""Bytes a second at which weights reach a server through a folder in memory, written and read: an assumption of ours.
TRL issue 7104 has 2.3 s for 32B parameters over NCCL, gathered first, which is 28 GB/s."""


def geometric_mean(*values: float) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
