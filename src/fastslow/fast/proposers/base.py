"""Define what a proposer is given and what it returns. `PROPOSERS` is the registry; each proposer has a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fastslow.contexts.context import Context, WorkedExample
from fastslow.core.registry import Registry
from fastslow.core.types import Trace
from fastslow.fast.reflection.journal import Journal

if TYPE_CHECKING:
    from fastslow.fast.reflection.endpoint import ReflectionLM


@dataclass(frozen=True)
class ProposalRequest:
    """Hold everything that a proposer may use to edit one parent context.

    Args:
        parent: the context to edit. component: the component that GEPA chose to update. A proposer that can edit only
        another one edits that one. traces: the parent's rollouts on the minibatch under the current weights.
        experience: the slow channel's rollouts since the last fast phase, under any context. Their text is worth
        reading;
            their scores belong to older weights.
        demonstrations: verified answers of training examples.
        rng: the only source of randomness.
    """

    parent: Context
    component: str
    traces: Sequence[Trace]
    experience: Sequence[Trace] = ()
    demonstrations: Sequence[WorkedExample] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))


Edits = Literal["small", "full"]
"""How much of a component one proposal may change: a small edit as in the paper, or all of it as in its ablation."""


@dataclass(frozen=True)
class ProposerInputs:
    """Hold what the settings of a run give to the factory of a proposer.

    Args:
        max_worked_examples: most worked examples in one context (>= 1).
        edits: how much of a component one proposal may change.
        make_reflection_lm: returns the reflection LM of the run; the first call may load a model. Raises BadInput where
            the settings name none.
    """

    max_worked_examples: int
    edits: Edits
    make_reflection_lm: Callable[[], ReflectionLM]


class Proposer(Protocol):
    """Turn a request into new component texts."""

    name: str

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """Return component name -> new text for the changed components; {} for nothing to propose.

        Raises EndpointError where the reflection LM cannot be reached; the fast phase then stops early.
        """
        ...


PROPOSERS: Registry[Proposer] = Registry("proposer")
"""Names -> factories, each called as `factory(inputs)` with a ProposerInputs."""


def make_proposer(name: str, inputs: ProposerInputs) -> Proposer:
    """Make the proposer of this name. A dotted path names a factory of the user's, called in the same way.

    Raises BadInput for an unknown name, and where the proposer cannot be made from `inputs`.
    """
    return PROPOSERS.factory(name)(inputs)


USAGE = ("calls", "failures", "prompt_tokens", "completion_tokens")


def journal_into(proposer: Proposer, path: Path) -> None:
    """Let the endpoints behind `proposer` append their replies to the journal at `path`, and replay its entries."""
    parts: Any = getattr(proposer, "proposers", (proposer,))
    journal: Journal | None = None
    for part in parts:
        if hasattr(getattr(part, "lm", None), "journal"):
            journal = Journal(path) if journal is None else journal
            part.lm.journal = journal


def usage_of(proposer: Proposer) -> dict[str, int]:
    """Return the calls, failures and tokens so far of the language models behind `proposer`; zeros without one."""
    parts: Any = getattr(proposer, "proposers", (proposer,))
    usages = [part.lm.usage for part in parts if hasattr(getattr(part, "lm", None), "usage")]
    return {name: sum(getattr(usage, name) for usage in usages) for name in USAGE}
