"""Route by one coin for each channel: the control that a learned rule must beat at the same rates."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming
from fastslow.routers.base import ROUTERS, StatelessRouter


@ROUTERS.register("random")
class RandomRouter(StatelessRouter):
    """Send a group to FAST with probability p and, independently, to SLOW with probability q; before that, let an
    example rest with probability `rest`, and give the rollouts of a share `more` of those that rest to others of the
    step (spec `random:p,q,rest,more`, default 0.5,0.5,0,0)."""

    name = "random"
    control = True

    def __init__(self, arguments: str = "", *, seed: int = 0):
        try:
            given = [float(text) for text in (arguments or "0.5,0.5").split(",")]
        except ValueError:
            given = []
        if not 2 <= len(given) <= 4 or not all(0.0 <= number <= 1.0 for number in given):
            raise BadInput(
                f"router 'random:{arguments}': give two probabilities in [0, 1], as in random:0.5,0.5, or four where "
                "examples rest, as in random:1,1,0.3,0.5."
            )
        self._fast, self._slow, self._rest, self._more = [*given, 0.0, 0.0][:4]
        self._seed = seed
        self.plan = self._plan if self._rest else None

    def _plan(self, upcoming: Sequence[Upcoming]) -> list[Plan]:
        # Seeded by the example and not by the number of calls, so that every rank and every resume draws the same.
        draws = [random.Random(derive_seed(self._seed, "rest", one.step, one.example_id)) for one in upcoming]
        rests = [rng.random() < self._rest for rng in draws]
        passed_on = sum(rest and rng.random() < self._more for rest, rng in zip(rests, draws, strict=True))
        made = [place for place, rest in enumerate(rests) if not rest]
        more = set(sorted(made, key=lambda place: draws[place].random())[:passed_on])
        return [
            Plan(0, Route.FAST if rng.random() < self._fast else Route.SKIP)
            if rest
            else Plan(one.rollouts * (2 if place in more else 1))
            for place, (one, rest, rng) in enumerate(zip(upcoming, rests, draws, strict=True))
        ]

    def route(self, evidence: GroupEvidence) -> Route:
        rng = random.Random(derive_seed(self._seed, "router", evidence.step, evidence.example_id))
        fast, slow = rng.random() < self._fast, rng.random() < self._slow
        return {(True, True): Route.BOTH, (True, False): Route.FAST, (False, True): Route.SLOW}.get(
            (fast, slow), Route.SKIP
        )
