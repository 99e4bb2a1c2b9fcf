"""Route every group the same way: `both` is the paper's rule; `fast`, `slow` and `skip` are controls."""

from __future__ import annotations

from functools import partial

from fastslow.core.errors import BadInput
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter


class ConstantRouter(StatelessRouter):
    """Send every group along one route."""

    control = True

    def __init__(self, route: Route, arguments: str = "", *, seed: int = 0):
        if arguments:
            raise BadInput(f"router '{route.value}' takes no arguments, got '{arguments}'.")
        self.name = route.value
        self._route = route

    def route(self, evidence: GroupEvidence) -> Route:
        return self._route


for _route in Route:
    ROUTERS.register(_route.value)(partial(ConstantRouter, _route))
