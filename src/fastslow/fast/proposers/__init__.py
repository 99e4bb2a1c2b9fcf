"""Proposers make a child context from its parent. This file is their registry.

In the order in which data flows:

- `base`: what the factory of a proposer is given (`ProposerInputs`), the request that a fast phase sends, the protocol,
  and `PROPOSERS`.
- `demonstrations`: edits worked examples, offline, from answers known to be right.
- `instructions`: edits rules of the instruction, offline; `kinds` finds what feedback keeps saying and belongs to no
  single question, `forms` what right answers look like and wrong ones do not.
- `reflection`: shows rollouts and feedback to a language model (`fastslow.fast.reflection`), which edits one component.
- `replies`: code blocks and JSON in what a language model returns.
- `mixed`: draws one of several proposers for each call.
- `validate`: what a child must pass before it may cost a rollout.

The fast phase calls `propose` through `proposal_of`, makes a child context of the answer and asks `proposal_problem`
about the child.
"""

from fastslow.fast.proposers.base import (
    PROPOSERS,
    ProposalRequest,
    Proposer,
    ProposerInputs,
    begin_phase,
    make_proposer,
    proposal_of,
    usage_of,
)
from fastslow.fast.proposers.demonstrations import DemonstrationsProposer
from fastslow.fast.proposers.instructions import InstructionsProposer
from fastslow.fast.proposers.mixed import MixedProposer, made_by
from fastslow.fast.proposers.reflection import ReflectionProposer
from fastslow.fast.proposers.validate import HeldOut, proposal_problem

__all__ = [
    "PROPOSERS",
    "DemonstrationsProposer",
    "HeldOut",
    "InstructionsProposer",
    "MixedProposer",
    "ProposalRequest",
    "Proposer",
    "ProposerInputs",
    "ReflectionProposer",
    "begin_phase",
    "made_by",
    "make_proposer",
    "proposal_of",
    "proposal_problem",
    "usage_of",
]


@PROPOSERS.register("demonstrations")
def _demonstrations(inputs: ProposerInputs) -> Proposer:
    return DemonstrationsProposer(max_examples=inputs.max_worked_examples, edits=inputs.edits)


@PROPOSERS.register("instructions")
def _instructions(inputs: ProposerInputs) -> Proposer:
    return InstructionsProposer(edits=inputs.edits)


@PROPOSERS.register("offline")
def _offline(inputs: ProposerInputs) -> Proposer:
    return MixedProposer([_demonstrations(inputs), _instructions(inputs)], name="offline")


@PROPOSERS.register("reflection")
def _reflection(inputs: ProposerInputs) -> Proposer:
    return ReflectionProposer(inputs.make_reflection_lm(), edits=inputs.edits)


@PROPOSERS.register("mixed")
def _mixed(inputs: ProposerInputs) -> Proposer:
    return MixedProposer([_demonstrations(inputs), _reflection(inputs)])
