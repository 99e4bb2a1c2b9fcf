"""Routers decide which channel absorbs each example's group. One rule a file; `ROUTERS` is their registry.

`both` is the paper's rule (everything to both channels) and the default; `fast`, `slow`, `skip` and `random` are
controls; `success_gate` and `threshold` are known gates; `variance` and `learned` are ours. docs/routing.md compares.
"""

from fastslow.routers.base import ROUTERS, Router, StatelessRouter, make_router
from fastslow.routers.constant import ConstantRouter
from fastslow.routers.decide import Decision, RouteDecider
from fastslow.routers.learned import LearnedRouter
from fastslow.routers.random import RandomRouter
from fastslow.routers.success_gate import SuccessGateRouter
from fastslow.routers.threshold import ThresholdRouter
from fastslow.routers.variance import VarianceRouter

__all__ = [
    "ROUTERS",
    "ConstantRouter",
    "Decision",
    "LearnedRouter",
    "RandomRouter",
    "RouteDecider",
    "Router",
    "StatelessRouter",
    "SuccessGateRouter",
    "ThresholdRouter",
    "VarianceRouter",
    "make_router",
]
