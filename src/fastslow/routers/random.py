"""Route by one coin for each channel: the control that a learned rule must beat at the same rates."""

from __future__ import annotations

import random

from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, StatelessRouter


@ROUTERS.register("random")
class RandomRouter(StatelessRouter):
    """Send a group to FAST with probability p and, independently, to SLOW with probability q (spec `random:p,q`,
    default 0.5,0.5)."""

    name = "random"
    control = True

    def __init__(self, arguments: str = "", *, seed: int = 0):
        try:
            p, q = (float(x) for x in (arguments or "0.5,0.5").split(","))
        except ValueError:
            p = q = -1.0
        if not (0.0 <= p <= 1.0 and 0.0 <= q <= 1.0):
            raise BadInput(f"router 'random:{arguments}': give two probabilities in [0, 1], as in random:0.5,0.5.")
        self._fast, self._slow, self._seed = p, q, seed

    def route(self, evidence: GroupEvidence) -> Route:
        # Seeded by the group and not by the number of calls, so that every rank and every resume draws the same.
        rng = random.Random(derive_seed(self._seed, "router", evidence.step, evidence.example_id))
        fast, slow = rng.random() < self._fast, rng.random() < self._slow
        return {(True, True): Route.BOTH, (True, False): Route.FAST, (False, True): Route.SLOW}.get(
            (fast, slow), Route.SKIP
        )
