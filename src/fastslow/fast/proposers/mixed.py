"""Combine several proposers: each call goes to one of them, drawn by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.fast.proposers.base import ProposalRequest, Proposer


class MixedProposer:
    """Draw one proposer for each call; `last_used` names the proposer of the latest call.

    A proposer that has nothing to propose is not replaced by another one, so the weights are the shares of calls.

    Args:
        proposers: the proposers to draw from, at least one.
        weights: relative weights, equal by default. Raises BadInput for weights that nothing can be drawn with.
        name: what the mix is called where it is not one of its proposers that is meant.
    """

    def __init__(self, proposers: Sequence[Proposer], weights: Sequence[float] | None = None, *, name: str = "mixed"):
        self.name = name
        weights = [1.0] * len(proposers) if weights is None else list(weights)
        drawable = all(math.isfinite(w) and w >= 0 for w in weights) and sum(weights) > 0
        if len(weights) != len(proposers) or not drawable:
            raise BadInput(
                f"the {name} proposer needs one weight of at least 0 for each of its {len(proposers)} proposers, "
                f"and one above 0; got {weights}."
            )
        self.proposers = tuple(proposers)
        self.weights = tuple(weights)
        self.last_used = ""

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """Return the proposal of the drawn proposer. Errors of that proposer rise."""
        chosen = request.rng.choices(self.proposers, self.weights)[0]
        try:
            return chosen.propose(request)
        finally:
            self.last_used = made_by(chosen)


def made_by(proposer: Proposer) -> str:
    """Return the name of the proposer that made the latest proposal of `proposer`: itself, or the one that a mix
    drew."""
    return getattr(proposer, "last_used", "") or proposer.name
