"""Routers decide which channel absorbs each example's group. One rule a file; `ROUTERS` is their registry.

`both` is the paper's rule (everything to both channels) and the default; `random` is the first control.
"""

from .base import ROUTERS, Router, make_router
from .constant import ConstantRouter
from .random import RandomRouter

__all__ = ["ROUTERS", "ConstantRouter", "RandomRouter", "Router", "make_router"]
