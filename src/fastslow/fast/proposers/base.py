"""What a proposer is asked and what it returns. One proposer per file; `PROPOSERS` is their registry."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from fastslow.contexts.context import Context, WorkedExample
from fastslow.core.registry import Registry
from fastslow.core.types import Trace
from fastslow.fast.reflection.journal import Journal


@dataclass(frozen=True)
class ProposalRequest:
    """Everything a proposer may use to edit one parent context.

    `component` is the component GEPA chose to update (a proposer may edit another one instead, if that is all it
    can do). `traces` are the parent's rollouts on the minibatch under the current weights. `experience` are the
    slow channel's rollouts since the last fast phase, under any context: text to learn from, their scores belong to
    older weights. `demonstrations` are verified answers of training examples. `rng` is the only source of chance.
    """

    parent: Context
    component: str
    traces: Sequence[Trace]
    experience: Sequence[Trace] = ()
    demonstrations: Sequence[WorkedExample] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))


Edits = Literal["small", "full"]
"""How much of a component one proposal may change: the paper's small edits, or all of it (its ablation)."""


class Proposer(Protocol):
    """Turns a request into new component texts."""

    name: str

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """Component name -> new text, for the changed components only; {} for 'nothing to propose'.

        Raises EndpointError when its LM cannot be reached; the fast phase decides what that means.
        """
        ...


PROPOSERS: Registry[Proposer] = Registry("proposer")


USAGE = ("calls", "failures", "prompt_tokens", "completion_tokens")


def journal_into(proposer: Proposer, path: Path) -> None:
    """Have the endpoints behind `proposer` keep their replies in `path`, and replay what stands there."""
    parts: Any = getattr(proposer, "proposers", (proposer,))
    journal: Journal | None = None
    for part in parts:
        if hasattr(getattr(part, "lm", None), "journal"):
            journal = Journal(path) if journal is None else journal
            part.lm.journal = journal


def usage_of(proposer: Proposer) -> dict[str, int]:
    """What the language models behind `proposer` were asked so far; zeros where there is none."""
    parts: Any = getattr(proposer, "proposers", (proposer,))
    usages = [part.lm.usage for part in parts if hasattr(getattr(part, "lm", None), "usage")]
    return {name: sum(getattr(usage, name) for usage in usages) for name in USAGE}
