"""A router of your own: the weights take only what the contexts no longer improve.

A group goes to the contexts until a visit has passed without its success rising, then to the weights as well. What a
router must do is `route`; `observe` is where it may learn, `explain` what it says of itself in routes.jsonl.

Its name in `--router` is `curriculum_router.Curriculum` or `curriculum_router:Curriculum`. What follows another colon
are its arguments, one text that it reads as it likes: with `curriculum_router.Curriculum:0.5` it would be called with
"0.5".
"""

from __future__ import annotations

from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.types import GroupEvidence, Route


class Curriculum:
    """Called with the arguments in `--router` (this one takes none: '') and the run's seed."""

    name = "curriculum"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        if arguments:
            raise BadInput(f"router 'curriculum' takes no arguments, got '{arguments}'.")
        self._best: dict[str, float] = {}
        self._waited: dict[str, int] = {}

    def route(self, evidence: GroupEvidence) -> Route:
        """A function of the evidence and of what `observe` has noted: asking twice gives the same answer twice."""
        scored = [reward for reward in evidence.rewards_G if reward is not None]
        if not scored:
            return Route.SKIP
        return Route.BOTH if self._waited.get(evidence.example_id, 0) else Route.FAST

    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        """Called once for every group, after its step was decided, with the route that was really taken."""
        scored = [reward for reward in evidence.rewards_G if reward is not None]
        if not scored:
            return
        success, name = sum(scored) / len(scored), evidence.example_id
        risen = name in self._best and success > self._best[name]
        self._waited[name] = 0 if risen else self._waited.get(name, 0) + 1
        self._best[name] = max(success, self._best.get(name, 0.0))

    def explain(self, evidence: GroupEvidence) -> dict[str, Any]:
        return {"visits_without_progress": self._waited.get(evidence.example_id, 0)}

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON; it is saved with every checkpoint, and a resumed run decides as the unbroken one would have."""
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._waited = dict(state["best"]), dict(state["waited"])
