"""What an engine is: it samples completions of prompts with the weights of one policy version.

A new engine is one file beside this one with a class that has the three methods of `Sampler`; `make` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SamplingParams:
    """Hold the sampling settings. `temperature` 0 is greedy; the other fields mean what they mean in transformers."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Prompt:
    """Hold the token ids of one prompt and the seed of one rollout; the first `prefix` ids are those of its context."""

    ids: tuple[int, ...]
    seed: int
    prefix: int = 0


@dataclass(frozen=True)
class Sample:
    """Hold a completion with its end token, if it has one, and its log-probabilities after temperature and before top-p
    and top-k, as in TRL, so that both can be compared."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Sampler(Protocol):
    """Generate completions; the protocol of every engine."""

    def refresh(self, version: int) -> None:
        """Use the policy's weights of `version` from now on; nothing cached under older weights may survive."""
        ...

    def forget(self) -> None:
        """Drop whatever was computed ahead; the next sample starts from the prompts alone."""
        ...

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]: ...
