"""Decide how much of its budget a fast phase gets: less after phases that brought nothing, and at times nothing at all.

A phase whose newcomers were not kept has paid for the scores of contexts that were known before. Its successor gets
half of its share, and rests where that does not pay for one proposal; slow rollouts go on saying what the contexts are
worth (`contexts.evidence`). After a phase that kept a newcomer the next one gets the whole budget again, and so does
one after rests during which the weights stopped rising: then a new text is what is left to try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastslow.fast.gepa import BudgetPlan

MOST_RESTS = 2
"""Phases in a row that rest: then one proposal is tried, as the weights have changed."""

PLATEAU = 0.01
"""Rise of the lead's expected reward over a cycle below which the weights have stopped rising."""

SOLVED = 0.95
"""Expected reward of the lead from which there is too little left to be won for a phase to wake early."""


@dataclass
class Effort:
    """Hold the share of the budget that the next phase gets, and how many phases have rested before it."""

    share: float = 1.0
    rested: int = 0

    def budget(self, plan: BudgetPlan, carried: int, lead: tuple[float, float] | None = None) -> int:
        """Return the metric calls of the next phase; 0 where it rests.

        Args:
            plan: that of a phase with its whole budget, which is never passed.
            carried: contexts that the phase has to score on the anchor set before it proposes anything.
            lead: expected reward of the lead now and its rise over a cycle; None: not known.
        """
        if self.rested >= MOST_RESTS and lead is not None and lead[0] < SOLVED and lead[1] < PLATEAU:
            self.wake()
        least = carried * plan.anchor_size + plan.per_task
        given = int(self.share * plan.budget)
        if given >= least:
            return given
        return min(least, plan.budget) if self.rested >= MOST_RESTS or self.share == 1.0 else 0

    def after(self, *, kept: bool) -> None:
        """Take note of a phase: whether a newcomer of it is a member."""
        self.share, self.rested = 1.0 if kept else self.share / 2, 0

    def rest(self) -> None:
        """Take note of a phase that rested."""
        self.rested += 1

    def wake(self) -> None:
        """Give the next phase its whole budget: the stream has changed."""
        self.share = 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return share and rests."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.share, self.rested = float(state["share"]), int(state["rested"])
