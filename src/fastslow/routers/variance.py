"""Route by variance: differences between contexts can be written into a text, differences within a context need
weights."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fastslow.core.seeding import derive_seed
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, number_arguments
from fastslow.routers.group import ROUNDING, Spread, mean, rewards_by_context, spread

MINOR_SHARE = 0.25
"""A part below this share of the whole variance does not call its channel."""

REHEARSAL = 0.1
"""Share of the solved groups that both channels see again, so that neither channel forgets them."""

PRIOR_ROWS = 8.0
"""Weight of the prior, in rollouts: how many rollouts of the group count as much as the past of the example and its
neighbours."""

MEMORY = 4.0
"""Half-life of the memory, in groups: contexts and weights change, so old groups lose weight."""


@dataclass
class Running:
    """Keep a running mean with exponentially decaying weights."""

    mean: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        decayed = self.weight * 0.5 ** (1.0 / MEMORY)
        self.weight = decayed + 1.0
        self.mean = (decayed * self.mean + value) / self.weight


@dataclass
class Known:
    """Keep the running variance components of an example or of a neighbourhood. A component that a group cannot
    estimate is left as it is."""

    between: Running = field(default_factory=Running)
    best_within: Running = field(default_factory=Running)

    def add(self, seen: Spread) -> None:
        if seen.between is not None:
            self.between.add(seen.between)
        if seen.best_within is not None:
            self.best_within.add(seen.best_within)

    @classmethod
    def from_json(cls, known: Mapping[str, Mapping[str, float]]) -> Known:
        return cls(Running(**known["between"]), Running(**known["best_within"]))


@ROUTERS.register("variance")
class VarianceRouter:
    """Split the reward variance of a group into between-context and within-context parts (spec
    `variance:minor,rehearsal`).

    - The between part dominates: a better text would help: FAST.
    - The part within the best contexts dominates: the text is as good as it gets and the rest is chance: SLOW.
    - Both parts have at least the share `minor` (0.25): BOTH.
    - Solved under every context: SKIP, and BOTH for a share `rehearsal` (0.1) of such groups.
    - Nothing solved, or all rewards equal: RL has no gradient: FAST, on the feedback.

    One group is a small sample, so its two parts are shrunk towards those of the example's own past and of the examples
    with the same label.
    """

    name = "variance"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._minor, self._rehearsal = number_arguments(
            self.name, arguments, defaults=(MINOR_SHARE, REHEARSAL), limits=((0.0, 0.5), (0.0, 1.0))
        )
        self._seed = seed
        self._examples: dict[str, Known] = {}
        self._neighbours: dict[str, Known] = {}

    def route(self, evidence: GroupEvidence) -> Route:
        return self._decide(evidence)[0]

    def explain(self, evidence: GroupEvidence) -> dict[str, Any]:
        return self._decide(evidence)[1]

    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        groups = rewards_by_context(evidence)
        if groups:
            seen = spread(groups)
            self._examples.setdefault(evidence.example_id, Known()).add(seen)
            self._neighbours.setdefault(evidence.task, Known()).add(seen)

    def _decide(self, evidence: GroupEvidence) -> tuple[Route, dict[str, Any]]:
        groups = rewards_by_context(evidence)
        rewards = [r for scored in groups.values() for r in scored]
        if not rewards:
            return Route.SKIP, {"why": "unscored"}
        # A context without any score has not solved the example.
        all_scored = len(groups) == len(set(evidence.context_ids_G))
        if all_scored and min(rewards) >= 1.0 - ROUNDING:
            rng = random.Random(derive_seed(self._seed, "rehearsal", evidence.step, evidence.example_id))
            again = rng.random() < self._rehearsal
            return (Route.BOTH, {"why": "rehearsed"}) if again else (Route.SKIP, {"why": "solved"})
        if max(rewards) - min(rewards) <= ROUNDING:
            return Route.FAST, {"why": "no gradient"}
        between, best_within = self._shrunk(evidence, spread(groups), len(rewards))
        # Both parts can be shrunk to zero where noise alone made the estimates; then all variance counts as within.
        share = between / (between + best_within) if between + best_within > ROUNDING else 0.0
        why = {"between": between, "within_best": best_within, "between_share": share, "success": mean(rewards)}
        fast, slow = share >= self._minor, share <= 1.0 - self._minor
        return (Route.BOTH if fast and slow else Route.FAST if fast else Route.SLOW), why

    def _shrunk(self, evidence: GroupEvidence, seen: Spread, rows: int) -> tuple[float, float]:
        """Return the variance between contexts and the variance within the best contexts, both >= 0.

        A part that the group cannot estimate comes from the prior; without a prior, both parts get the same value.
        """
        between, best_within = self._prior(evidence, "between"), self._prior(evidence, "best_within")
        own = rows / (rows + PRIOR_ROWS)
        if seen.best_within is None:  # one rollout for each context: only the total can be estimated
            known = (between or 0.0) + (best_within or 0.0)
            split = between is not None and best_within is not None and known > ROUNDING
            share = (between or 0.0) / known if split else 0.5
            return seen.total * share, seen.total * (1.0 - share)
        luck = seen.best_within if best_within is None else own * seen.best_within + (1.0 - own) * best_within
        if seen.between is None:  # one context
            return (luck if between is None else between), luck
        return max(0.0, seen.between if between is None else own * seen.between + (1.0 - own) * between), luck

    def _prior(self, evidence: GroupEvidence, part: str) -> float | None:
        """Return the prior of one part: the example's own past, and the shorter that is, the more of its neighbours;
        None without either."""
        places = (self._examples, evidence.example_id), (self._neighbours, evidence.task)
        own, neighbours = (getattr(known.get(name, Known()), part) for known, name in places)
        if not own.weight and not neighbours.weight:
            return None
        share = own.weight / (own.weight + 1.0) if neighbours.weight else 1.0
        return max(0.0, share * own.mean + (1.0 - share) * neighbours.mean)

    def state_dict(self) -> dict[str, Any]:
        return {
            "examples": {name: asdict(known) for name, known in self._examples.items()},
            "neighbours": {name: asdict(known) for name, known in self._neighbours.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._examples = {name: Known.from_json(known) for name, known in state["examples"].items()}
        self._neighbours = {name: Known.from_json(known) for name, known in state["neighbours"].items()}
