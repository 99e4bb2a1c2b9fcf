"""P2O's rule: what the model hardly ever solves goes to the contexts, the rest to the weights."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter, number_argument
from fastslow.routers.group import success


@ROUTERS.register("success_gate")
class SuccessGateRouter(StatelessRouter):
    """`success_gate:limit` routes a group to FAST where its success is at most `limit` (0.05), else to SLOW.

    Such groups give RL no gradient, and a text can still be improved on what was said about them.
    """

    name = "success_gate"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._limit = number_argument(self.name, arguments, default=0.05)

    def route(self, evidence: GroupEvidence) -> Route:
        rate = success(evidence)
        if rate is None:
            return Route.SKIP
        return Route.FAST if rate <= self._limit else Route.SLOW
