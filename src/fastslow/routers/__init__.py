"""Routers decide which channel absorbs each example's group. One rule a file; `ROUTERS` is their registry.

`both` is the paper's rule (everything to both channels) and the default; `fast`, `slow`, `skip` and `random` are
controls; `success_gate` and `threshold` are known gates; `variance` and `learned` are ours. docs/routing.md compares.
"""

from .base import ROUTERS, Router, StatelessRouter, make_router
from .constant import ConstantRouter
from .decide import Decision, RouteDecider
from .learned import LearnedRouter
from .random import RandomRouter
from .success_gate import SuccessGateRouter
from .threshold import ThresholdRouter
from .variance import VarianceRouter

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
