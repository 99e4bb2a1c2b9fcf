"""HPT's rule, adapted: what mostly succeeds is left to the weights, what mostly fails to the contexts."""

from __future__ import annotations

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter, number_argument
from fastslow.routers.group import success


@ROUTERS.register("threshold")
class ThresholdRouter(StatelessRouter):
    """`threshold:gamma` routes a group to SLOW where its success is above gamma (0.5), else to FAST.

    HPT chooses between RL and imitation by the success rate in this way; here the other side is the fast channel.
    """

    name = "threshold"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._gamma = number_argument(self.name, arguments, default=0.5)

    def route(self, evidence: GroupEvidence) -> Route:
        rate = success(evidence)
        if rate is None:
            return Route.SKIP
        return Route.SLOW if rate > self._gamma else Route.FAST
