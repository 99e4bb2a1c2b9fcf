"""The variance rule: what differs between contexts can be written down, what differs within one has to be learned."""

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
"""A part of the variance below this share of the whole does not call its channel."""

REHEARSAL = 0.1
"""Share of the solved groups that both channels see again, so that neither forgets them."""

PRIOR_ROWS = 8.0
"""How many rollouts of its own outweigh what is known of an example's past and of its neighbours."""

MEMORY = 4.0
"""Groups until half of what is remembered is newer: contexts and weights move on."""


@dataclass
class Running:
    """A running mean of numbers whose weight fades."""

    mean: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        kept = self.weight * 0.5 ** (1.0 / MEMORY)
        self.weight = kept + 1.0
        self.mean = (kept * self.mean + value) / self.weight


@dataclass
class Known:
    """What the groups of an example or a neighbourhood have said of either part, each as often as it could be told."""

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
    """`variance:minor,rehearsal` splits a group's reward variance into between-context and within-context parts.

    - The between part dominates: a better text would lift the rest, FAST.
    - The part within the best contexts dominates: the text is as good as it gets and luck decides, SLOW.
    - Neither is below `minor` (0.25) of both: BOTH.
    - Solved under every context: SKIP, and BOTH for a share `rehearsal` (0.1) of such groups.
    - Nothing solved, or no difference at all: RL has no gradient; FAST, on the feedback.

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
        rewards = [r for some in groups.values() for r in some]
        if not rewards:
            return Route.SKIP, {"why": "unscored"}
        heard = len(groups) == len(set(evidence.context_ids_G))  # a context without a score has not solved it
        if heard and min(rewards) >= 1.0 - ROUNDING:
            rng = random.Random(derive_seed(self._seed, "rehearsal", evidence.step, evidence.example_id))
            again = rng.random() < self._rehearsal
            return (Route.BOTH, {"why": "rehearsed"}) if again else (Route.SKIP, {"why": "solved"})
        if max(rewards) - min(rewards) <= ROUNDING:
            return Route.FAST, {"why": "no gradient"}
        between, best_within = self._shrunk(evidence, spread(groups), len(rewards))
        # Both parts can be shrunk to nothing where noise alone made the estimates: then luck is all there is.
        share = between / (between + best_within) if between + best_within > ROUNDING else 0.0
        why = {"between": between, "within_best": best_within, "between_share": share, "success": mean(rewards)}
        fast, slow = share >= self._minor, share <= 1.0 - self._minor
        return (Route.BOTH if fast and slow else Route.FAST if fast else Route.SLOW), why

    def _shrunk(self, evidence: GroupEvidence, seen: Spread, rows: int) -> tuple[float, float]:
        """Between-context variance and that within the best contexts, both >= 0.

        A part that the group cannot tell is what others have told; where none could, both count alike.
        """
        between, best_within = self._prior(evidence, "between"), self._prior(evidence, "best_within")
        own = rows / (rows + PRIOR_ROWS)
        if seen.best_within is None:  # one rollout a context: the group says only how much there is in all
            known = (between or 0.0) + (best_within or 0.0)
            split = between is not None and best_within is not None and known > ROUNDING
            share = (between or 0.0) / known if split else 0.5
            return seen.total * share, seen.total * (1.0 - share)
        luck = seen.best_within if best_within is None else own * seen.best_within + (1.0 - own) * best_within
        if seen.between is None:  # one context
            return (luck if between is None else between), luck
        return max(0.0, seen.between if between is None else own * seen.between + (1.0 - own) * between), luck

    def _prior(self, evidence: GroupEvidence, part: str) -> float | None:
        """The example's own past, and the less there is of it, its neighbours'; None where nobody could tell."""
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
