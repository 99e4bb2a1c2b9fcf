"""A user's router that draws from every global random state, which ours never do."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from fastslow.core.types import GroupEvidence, Route


class Dice:
    name = "dice"

    def __init__(self, arguments: str, *, seed: int): ...

    def route(self, evidence: GroupEvidence) -> Route:
        draws = (random.random(), np.random.rand(), float(torch.rand(())))
        return list(Route)[int(sum(draws) * 1e6) % len(Route)]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
