"""Routers decide which channel takes the group of an example. One rule a file; `ROUTERS` is their registry.

- `base`: the protocol, the registry and `make_router`. `group`: what the rewards of one group say.
- `constant`: `both` (the paper's rule and the default), and the controls `fast`, `slow`, `skip`. `random`: a
  control too.
- `success_gate`, `threshold`: published gates. `variance`, `learned`: rules of our own. `triage`: one that decides
  before the rollouts.
- `decide`: `RouteDecider`, which `loop` asks once per step: it asks the rule, and keeps the smallest share of either
  channel.
- `settings`: the settings of this package.

docs/routing.md compares the rules.
"""

from fastslow.routers.base import ROUTERS, Router, StatelessRouter, make_router
from fastslow.routers.constant import ConstantRouter
from fastslow.routers.decide import Decision, RouteDecider
from fastslow.routers.learned import LearnedRouter
from fastslow.routers.random import RandomRouter
from fastslow.routers.success_gate import SuccessGateRouter
from fastslow.routers.threshold import ThresholdRouter
from fastslow.routers.triage import TriageRouter
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
    "TriageRouter",
    "VarianceRouter",
    "make_router",
]
