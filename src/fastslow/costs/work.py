"""What a run does, in steps, rows and tokens, and what of it nobody knows beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Range(NamedTuple):
    """Hold a number that is known within bounds: the cheapest, the likeliest and the dearest case."""

    low: float
    typical: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        return cls(value, value, value)

    @classmethod
    def of(cls, function: Callable[[int], float]) -> Range:
        """Return what `function` says of the cases 0 (low), 1 (typical) and 2 (high)."""
        return cls(*(function(case) for case in range(len(CASES))))


def rising(cases: Range) -> Range:
    """Return a range whose bounds are the least and the greatest of the cases, for what does not rise with them."""
    return Range(*sorted(cases))


CASES = ("low", "typical", "high")


@dataclass(frozen=True, kw_only=True)
class Work:
    """Hold what the settings of a run say about its amount of work.

    Args:
        steps, problems, group: optimiser steps, problems of a step (B), rollouts of a problem (G).
        contexts: contexts that share the rollouts of a problem (K), 1 without a fast channel.
        phases: fast phases of the run. `calls`, `anchor`, `minibatch`, `proposals`: settings of a phase.
        evaluations: of the run. `evaluated`: rollouts of one of them.
        longest: tokens of the longest answer allowed.
        rows: rollouts of a micro-batch of one process.
        updates: updates of the weights from one batch of rollouts.
        packed: whether the prompt tokens that rows of a problem share are trained on once.
        samples: whether the rows of a step are made, not taken from the data.
        trains, checkpointing, references, moments: as in `memory.Training`.
        kl: whether the loss has a KL term.
        engine: 'vllm' (a server of its own on each GPU) or 'transformers' (in the trainer).
        reply: largest reply of the reflection LM, tokens; 0 where no endpoint is asked.
        reply_prices: US dollars per million prompt and completion tokens, or None.
        reply_budget: the run's ceiling in US dollars, or None.
    """

    steps: int
    problems: int
    group: int
    contexts: int
    phases: int
    calls: int
    anchor: int
    minibatch: int
    proposals: int
    evaluations: int
    evaluated: int
    longest: int
    rows: int
    updates: int
    packed: bool
    samples: bool
    trains: bool
    checkpointing: bool
    references: int
    kl: bool
    moments: int
    engine: str
    reply: int = 0
    reply_prices: tuple[float, float] | None = None
    reply_budget: float | None = None

    @property
    def rollouts(self) -> int:
        """Rollouts of a step (B x G)."""
        return self.problems * self.group

    @property
    def iterations(self) -> int:
        """Iterations of GEPA in a fast phase, at most: what the budget leaves once seed and population are scored, by
        what a round of proposals costs (parents and children on minibatches, then one child on the anchor set)."""
        left = self.calls - (self.contexts + 1) * self.anchor
        each = 2 * self.proposals * self.minibatch + self.anchor
        return max(1, round(left / each)) if self.phases else 0

    @property
    def rounds(self) -> int:
        """Batches of rollouts that a fast phase waits for one after another: the population, then of each iteration
        parents, children and the anchor set."""
        return 1 + 3 * self.iterations if self.phases else 0


@dataclass(frozen=True, kw_only=True)
class Unknowns:
    """Hold what nobody knows before a run, as ranges.

    Args:
        prompt: tokens of context and question. `answer`: mean tokens of an answer.
        reused: share of the rollouts of a step that the fast phase served.
        live: share of the rows of a step that can move the weights and are computed.
        efficiency: share of the memory bandwidth that decoding reaches. `mfu`: of the FLOP/s that training reaches.
        transport: bytes a second at which weights reach a server.
        request: tokens that the reflection LM reads for a proposal. `wait`: seconds for its reply.
    """

    prompt: Range
    answer: Range
    reused: Range
    live: Range
    efficiency: Range
    mfu: Range
    transport: Range
    request: Range
    wait: Range
    source: str
    """Where prompt, answer, reused and live come from."""
