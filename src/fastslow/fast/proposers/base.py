"""Define what a proposer is given and what it returns. `PROPOSERS` is the registry; each proposer has a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fastslow.contexts.context import Context, WorkedExample
from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.registry import Registry
from fastslow.core.types import Trace
from fastslow.fast.reflection.journal import Journal
from fastslow.tasks.own import copied

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
    factory = PROPOSERS.factory(name)
    if name in PROPOSERS.names():
        return factory(inputs)  # ours may load a model, and running out of memory there is not bad input
    proposer = PROPOSERS.make(name, lambda: factory(inputs))
    missing = [part for part in ("name", "propose") if not hasattr(proposer, part)]
    if missing or not isinstance(proposer.name, str) or not callable(proposer.propose):
        raise BadInput(
            f"proposer '{name}' needs a name of text and a method propose, and is a {type(proposer).__name__}; see "
            "fastslow.fast.proposers.Proposer."
        )
    return proposer


def proposal_of(proposer: Proposer, request: ProposalRequest) -> dict[str, str]:
    """Return the proposer's answer to copies of what the request holds, so that it can change nothing of the run.

    Raises errors of this package as the proposer does, and FastSlowError where it raises anything else, or answers with
    anything but a dict of texts.
    """
    copies = replace(
        request,
        parent=replace(request.parent, components=dict(request.parent.components)),
        traces=[_copied(trace) for trace in request.traces],
        experience=[_copied(trace) for trace in request.experience],
        demonstrations=list(request.demonstrations),
    )
    try:
        changed = foreign.call(proposer.propose, copies, who=f"proposer '{proposer.name}'", through=(FastSlowError,))
    except foreign.Failed as fault:
        raise FastSlowError(f"proposer '{proposer.name}' raised {fault}") from fault
    texts = isinstance(changed, Mapping) and all(isinstance(part, str) for pair in changed.items() for part in pair)
    if not texts:
        raise FastSlowError(
            f"proposer '{proposer.name}' returned {changed!r:.80}; it must return a dict from names of components to "
            "texts, empty for nothing to propose."
        )
    return dict(changed)


def _copied(trace: Trace) -> Trace:
    return replace(trace, example=copied(trace.example), verdict=replace(trace.verdict, info=dict(trace.verdict.info)))


def readable(trace: Trace) -> bool:
    """Return whether a proposer may use this trace: scored, and of a training example."""
    return trace.verdict.scored and trace.example.split == "train"


USAGE = ("calls", "failures", "unreadable", "prompt_tokens", "completion_tokens")
"""What is counted of a reflection LM and goes into metrics, summary and tallies."""


def parts_of(proposer: Proposer) -> list[Any]:
    """Return the proposers that `proposer` draws from, those of mixes of mixes too, or itself."""
    parts: Any = getattr(proposer, "proposers", None)
    return [proposer] if parts is None else [inner for part in parts for inner in parts_of(part)]


def begin_phase(proposer: Proposer) -> None:
    """Tell those proposers that count within a fast phase that one begins."""
    for part in parts_of(proposer):
        if hasattr(part, "begin_phase"):
            part.begin_phase()


def journal_into(proposer: Proposer, path: Path) -> None:
    """Let the endpoints behind `proposer` append their replies to the journal at `path`, and replay its entries."""
    journal: Journal | None = None
    for part in parts_of(proposer):
        if hasattr(getattr(part, "lm", None), "journal"):
            journal = Journal(path) if journal is None else journal
            part.lm.journal = journal


def usage_of(proposer: Proposer) -> dict[str, int]:
    """Return what `USAGE` names, so far, of the language models behind `proposer`; zeros without one."""
    usages = [part.lm.usage for part in parts_of(proposer) if hasattr(getattr(part, "lm", None), "usage")]
    counts = {name: [getattr(usage, name, 0) for usage in usages] for name in USAGE}
    return {name: sum(count for count in of_parts if isinstance(count, int)) for name, of_parts in counts.items()}
