"""Define the values that travel from task to router.

Axis suffixes, used in every module: `_B` examples of a batch, `_G` rollouts of one group, `_K` contexts in use, `_N`
rows (rollouts, flattened as B*G), `_T` tokens of a completion, `_V` vocabulary.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Message = Mapping[str, str]
"""One chat turn: `{"role": ..., "content": ...}`."""

Split = Literal["train", "validation", "test"]


def conversation(messages: Iterable[Message]) -> str:
    """Return the text of a whole conversation: its turns with a blank line between two. A turn of anyone but the user
    begins with its role, and that of a single turn is its content."""
    turns = list(messages)
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(
        turn["content"] if turn["role"] == "user" else f"{turn['role']}: {turn['content']}" for turn in turns
    )


@dataclass(frozen=True)
class Example:
    """Hold one problem of a task.

    `messages` begin and end with a turn of the user; assistant turns between are what was said before. A system turn
    comes from the context. `payload` is what the task's scorer needs and is never shown to a model.
    """

    id: str
    task: str
    split: Split
    messages: tuple[Message, ...]
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def question(self) -> str:
        """Text of the whole conversation: of several turns the last alone may be the same in every example."""
        return conversation(self.messages)

    @property
    def where(self) -> str:
        """How a person finds this example: by the line or row of its file, where it has one, or by its id."""
        place, number = self.payload.get("place"), self.payload.get("line")
        return f"{place} {number}" if place in ("line", "row") and isinstance(number, int) else f"example {self.id}"


@dataclass(frozen=True)
class Verdict:
    """Hold the judgement of a scorer on one completion.

    `reward` lies in [0, 1], or is None for *unscored*: an infrastructure failure is never a reward of 0. `feedback`
    says what was wrong and, on training examples only, what would have been right.
    """

    reward: float | None
    feedback: str
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reward is not None and not (math.isfinite(self.reward) and 0.0 <= self.reward <= 1.0):
            raise ValueError(
                f"a reward must lie in [0, 1], got {self.reward!r}; return Verdict.unscored(reason) instead"
            )

    @classmethod
    def unscored(cls, reason: str) -> Verdict:
        """Return the verdict of a scorer that could not judge: the rollout counts in neither channel."""
        return cls(reward=None, feedback="", info={"unscored": reason})

    @property
    def scored(self) -> bool:
        return self.reward is not None


@dataclass(frozen=True)
class Rollout:
    """Hold one completion of one example under one context, with everything needed to train on it later.

    The completion of an episode holds all its turns: `said` marks the tokens that the model said, as those of the
    environment are neither sampled nor trained on (their `logprobs` are 0). Empty: the model said all of it.

    `logprobs` are the behaviour policy's log-probabilities of `completion_ids`, after temperature; `policy_version` is
    the number of optimiser steps behind the weights that sampled the completion. `context_tokens` counts the leading
    tokens of the prompt that every prompt under this context is expected to begin with.
    """

    example_id: str
    context_id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    verdict: Verdict
    policy_version: int
    context_tokens: int = 0
    said: tuple[bool, ...] = ()

    @property
    def tokens(self) -> int:
        """Completion tokens that the model said."""
        return sum(self.said) if self.said else len(self.completion_ids)

    @property
    def longest_turn(self) -> int:
        """Tokens of the longest turn of the model."""
        turns = (sum(1 for _ in turn) for own, turn in itertools.groupby(self.said) if own)
        return max(turns, default=0) if self.said else len(self.completion_ids)


@dataclass(frozen=True)
class Trace:
    """Hold a rollout as a proposer reads it: text only. Of an `episode` the completion is the whole conversation, which
    is no answer that could be shown to a model as its own."""

    example: Example
    context_id: str
    completion: str
    verdict: Verdict
    episode: bool = False

    @classmethod
    def of(cls, example: Example, rollout: Rollout) -> Trace:
        """Return the trace of a rollout."""
        return cls(example, rollout.context_id, rollout.text, rollout.verdict, episode=bool(rollout.said))


class Route(enum.Enum):
    """Name the channels that take an example's group."""

    FAST = "fast"
    SLOW = "slow"
    BOTH = "both"
    SKIP = "skip"

    @property
    def slow(self) -> bool:
        """Whether the group's rows train the weights."""
        return self in (Route.SLOW, Route.BOTH)

    @property
    def fast(self) -> bool:
        """Whether the example feeds the next fast phase."""
        return self in (Route.FAST, Route.BOTH)


@dataclass(frozen=True)
class Upcoming:
    """Hold what a router may look at before a group is rolled out.

    `task` is the topic as in `GroupEvidence`. `rollouts` is what the group gets where nothing else is planned (G).
    """

    step: int
    example_id: str
    task: str
    rollouts: int


@dataclass(frozen=True)
class Plan:
    """Say how many rollouts an example gets in this step, and for which channel.

    Attributes:
        rollouts: number of rollouts; 0: the example rests, and nothing is generated for it.
        route: the group's route where it is settled before the rollouts; None: the rule decides on what they show. An
            example that rests is skipped, or goes to the texts with FAST.
        why: plain numbers and words for routes.jsonl.
    """

    rollouts: int
    route: Route | None = None
    why: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupEvidence:
    """Hold what a router may look at: one example's rollouts, in slot order: G of them, or as many as were planned.

    `task` is the topic of the example as the learner knows it: its label, right or wrong, its cluster, or '' for
    neither. `rewards_G` holds None where a rollout is unscored; `context_ids_G` names the context of each slot.
    `surprisals_G` is minus the mean log-probability of each completion's tokens (nats per token); its mean estimates
    the entropy.
    """

    step: int
    example_id: str
    task: str
    context_ids_G: tuple[str, ...]
    rewards_G: tuple[float | None, ...]
    completion_tokens_G: tuple[int, ...]
    surprisals_G: tuple[float, ...] = ()
