"""Several proposers behind one: each call is made by one of them, drawn by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.fast.proposers.base import PROPOSERS, ProposalRequest, Proposer


class MixedProposer:
    """Draws one proposer per call; `last_used` names the one that made the latest proposal.

    A proposer that has nothing to propose is not replaced by another, so the weights are the shares of calls.
    `weights` are relative, equal by default. Raises BadInput for weights that cannot be drawn from.
    """

    name = "mixed"

    def __init__(self, proposers: Sequence[Proposer], weights: Sequence[float] | None = None):
        weights = [1.0] * len(proposers) if weights is None else list(weights)
        drawable = all(math.isfinite(w) and w >= 0 for w in weights) and sum(weights) > 0
        if len(weights) != len(proposers) or not drawable:
            raise BadInput(
                f"the mixed proposer needs one weight of at least 0 for each of its {len(proposers)} proposers, "
                f"and one above 0; got {weights}."
            )
        self.proposers = tuple(proposers)
        self.weights = tuple(weights)
        self.last_used = ""

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """What the drawn proposer proposes. Raises what it raises."""
        chosen = request.rng.choices(self.proposers, self.weights)[0]
        try:
            return chosen.propose(request)
        finally:
            self.last_used = made_by(chosen)


def made_by(proposer: Proposer) -> str:
    """Who made the latest proposal of `proposer`: itself, or the one a mix drew. For a context's lineage."""
    return getattr(proposer, "last_used", "") or proposer.name


@PROPOSERS.register("mixed")
def mixed(demonstrations: Proposer, reflection: Proposer, weights: Sequence[float] | None = None) -> MixedProposer:
    """The two built-in proposers in one; `weights` in the order of the arguments."""
    return MixedProposer((demonstrations, reflection), weights)
