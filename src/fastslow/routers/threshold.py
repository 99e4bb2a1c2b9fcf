"""Route by the rule of HPT, adapted: groups that mostly succeed go to the weights, all others to the contexts."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter, number_argument
from fastslow.routers.group import success


@ROUTERS.register("threshold")
class ThresholdRouter(StatelessRouter):
    """Send a group to SLOW where its success rate is above gamma, else to FAST (spec `threshold:gamma`, default 0.5).

    HPT chooses between RL and imitation in this way; here the fast channel takes the place of imitation.
    """

    name = "threshold"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._gamma = number_argument(self.name, arguments, default=0.5)

    def route(self, evidence: GroupEvidence) -> Route:
        rate = success(evidence)
        if rate is None:
            return Route.SKIP
        return Route.SLOW if rate > self._gamma else Route.FAST
