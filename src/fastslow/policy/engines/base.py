"""What an engine is: it samples completions of prompts with the weights of one policy version.

A new engine is one file beside this one with a class that fulfils `Engine`; `make` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class SamplingParams:
    """Hold the sampling settings. `temperature` 0 is greedy; the other fields mean what they mean in transformers."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether every token can be drawn, by the model's probability alone: then all engines mean the same by a
        log-probability."""
        return self.top_p == 1.0 and not self.top_k and not self.min_p and self.repetition_penalty == 1.0


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


def go_on() -> None:
    """Do nothing: what `Engine.proceed` is for an engine that nobody stops."""


class Engine(Protocol):
    """Generate completions with the weights of one policy version; the protocol of every engine."""

    proceed: Callable[[], None]
    """Called while `sample` works, often; what it raises ends `sample`."""

    @property
    def separate(self) -> bool:
        """Whether another program samples: its log-probabilities are then those of the behaviour policy, never the
        trainer's, and are compared with the trainer's (`policy.tripwire`)."""
        ...

    @property
    def window(self) -> int | None:
        """Most tokens of prompt and completion together; None where the model alone sets the limit."""
        ...

    def refresh(self, version: int) -> None:
        """Use the policy's weights of `version` from now on; nothing cached under older weights may survive.

        Every process has to call this method, any number of times for a version: a repeated call proves that the engine
        still holds the version. Raises EngineError where the engine cannot prove that.
        """
        ...

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        """Return completions in the order of `prompts`, each drawn by its prompt's seed alone.

        Any process may call this method on its own. Raises RuntimeError before the first `refresh`.
        """
        ...

    def forget(self) -> None:
        """Drop whatever was computed ahead; the next sample starts from the prompts alone."""
        ...

    def place(self, prompt: Prompt) -> str:
        """Return in words where `prompt` is answered."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what summary.json and `doctor` say of the engine: its name, its version, and where it is."""
        ...

    def usage(self) -> dict[str, float]:
        """Return the tokens computed and generated so far, of this process, by name."""
        ...

    def close(self) -> None:
        """Let go of connections and files. A closed engine samples no more."""
        ...
