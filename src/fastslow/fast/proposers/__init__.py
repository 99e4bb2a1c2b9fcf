"""Proposers: how a child context is made from its parent.

In the order data flows:

- `base`: the request a fast phase sends, the protocol, and the registry `PROPOSERS`.
- `demonstrations`: edits worked examples, offline, from answers already known to be right.
- `reflection`: shows rollouts and feedback to a language model (`fastslow.reflection_lm`), which edits one component.
- `mixed`: draws one of several proposers for each call.
- `validate`: what a child must pass before it may cost a rollout.

The fast phase calls `propose`, makes a child context of the answer and asks `proposal_problem` about it. Importing
this package registers the built-in proposers.
"""

from fastslow.fast.proposers.base import PROPOSERS, ProposalRequest, Proposer, usage_of
from fastslow.fast.proposers.demonstrations import DemonstrationsProposer
from fastslow.fast.proposers.mixed import MixedProposer, made_by
from fastslow.fast.proposers.reflection import ReflectionProposer
from fastslow.fast.proposers.validate import HeldOut, proposal_problem

__all__ = [
    "PROPOSERS",
    "DemonstrationsProposer",
    "HeldOut",
    "MixedProposer",
    "ProposalRequest",
    "Proposer",
    "ReflectionProposer",
    "made_by",
    "proposal_problem",
    "usage_of",
]
