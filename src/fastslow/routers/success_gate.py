"""Route by the rule of P2O: groups that are hardly ever solved go to the contexts, all others to the weights."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter, number_argument
from fastslow.routers.group import success


@ROUTERS.register("success_gate")
class SuccessGateRouter(StatelessRouter):
    """Send a group to FAST where its success rate is at most `limit`, else to SLOW (spec `success_gate:limit`, default
    0.05).

    Groups that are never solved give RL no gradient, but their feedback can still improve a context.
    """

    name = "success_gate"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._limit = number_argument(self.name, arguments, default=0.05)

    def route(self, evidence: GroupEvidence) -> Route:
        rate = success(evidence)
        if rate is None:
            return Route.SKIP
        return Route.FAST if rate <= self._limit else Route.SLOW
