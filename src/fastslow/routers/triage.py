"""Route before the rollout: examples whose group would teach the weights nothing rest, the most open ones get more."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastslow.core.seeding import derive_seed
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming
from fastslow.routers.base import ROUTERS, number_arguments
from fastslow.routers.group import ROUNDING

LIMIT = 0.2
"""A group is rolled out where its chance of differing rewards is at least this."""

REHEARSAL = 0.1
"""Share of the resting examples that are rolled out all the same, so that what is forgotten shows."""

MORE = 0.5
"""Most groups that are passed on, as a share of those that rest; the others are saved."""

HALF_LIFE = 4.0
"""Steps after which a group counts one half: contexts and weights change."""

PRIOR_GROUPS = 2.0
"""What is known of an example's topic counts as much as so many groups of its own."""


@dataclass
class Seen:
    """Count the groups of a topic or of an example, older ones less.

    live: their rewards differed, so that they had a gradient. solved: all rewards were full. step: that of the counts.
    """

    live: float = 0.0
    solved: float = 0.0
    all: float = 0.0
    step: int = 0

    def at(self, step: int) -> Seen:
        """Return the counts as they weigh at a step."""
        weight = 0.5 ** (max(0, step - self.step) / HALF_LIFE)
        return Seen(self.live * weight, self.solved * weight, self.all * weight, step)

    def with_group(self, rewards: Sequence[float], step: int) -> Seen:
        now = self.at(step)
        live, solved = max(rewards) - min(rewards) > ROUNDING, min(rewards) >= 1.0 - ROUNDING
        return Seen(now.live + live, now.solved + solved, now.all + 1, step)

    @property
    def mostly_solved(self) -> bool:
        """Whether more groups without a gradient were solved than failed."""
        return self.solved > self.all - self.live - self.solved


@ROUTERS.register("triage")
class TriageRouter:
    """Decide before anything is generated which examples are rolled out (spec `triage:limit,rehearsal,more`, default
    0.2,0.1,0.5).

    A group has a gradient only where its rewards differ. The chance of that is drawn from what the example's own groups
    and those of its topic showed lately (a beta posterior): little known is often drawn high, so that it is tried again
    (Thompson 1933, Biometrika 25).

    - Below `limit` the example rests. One of a topic that is solved is skipped, one of a topic that fails goes to the
      texts. A share `rehearsal` is rolled out all the same.
    - G more rollouts of an example find a gradient that the first G missed with chance q(1-q), so they go to the
      examples nearest to q = 1/2, as far as that is at least half of `limit`, and at most for the share `more` of those
      that rest.

    What is rolled out goes to both channels.
    """

    name = "triage"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._limit, self._rehearsal, self._more = number_arguments(
            self.name, arguments, defaults=(LIMIT, REHEARSAL, MORE), limits=((0.0, 1.0),) * 3
        )
        self._seed = seed
        self._group = 0
        self._topics: dict[str, Seen] = {}
        self._examples: dict[str, Seen] = {}

    def plan(self, upcoming: Sequence[Upcoming]) -> list[Plan]:
        chances = [self._chance(one) for one in upcoming]
        plans = [self._plan(one, chance) for one, chance in zip(upcoming, chances, strict=True)]
        self._group = max((one.rollouts for one in upcoming), default=0)
        resting = sum(not plan.rollouts for plan in plans)
        open_ones = [
            place
            for place, (plan, chance) in enumerate(zip(plans, chances, strict=True))
            if plan.rollouts and chance * (1 - chance) >= self._limit / 2
        ]
        open_ones.sort(key=lambda place: (abs(chances[place] - 0.5), place))
        for place in open_ones[: int(self._more * resting)]:
            plans[place] = Plan(2 * upcoming[place].rollouts, why={**plans[place].why, "why": "open"})
        return plans

    def route(self, evidence: GroupEvidence) -> Route:
        return Route.BOTH if any(reward is not None for reward in evidence.rewards_G) else Route.SKIP

    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        size = self._group or len(evidence.rewards_G)
        for first in range(0, len(evidence.rewards_G), size):  # a group of 2G shows twice what one of G would
            rewards = [reward for reward in evidence.rewards_G[first : first + size] if reward is not None]
            if rewards:
                for known, name in ((self._topics, evidence.task), (self._examples, evidence.example_id)):
                    known[name] = known.get(name, Seen()).with_group(rewards, evidence.step)

    def _plan(self, one: Upcoming, chance: float) -> Plan:
        why: dict[str, Any] = {"chance": chance}
        if chance >= self._limit:
            return Plan(one.rollouts, why=why)
        if random.Random(derive_seed(self._seed, "rehearsal", one.step, one.example_id)).random() < self._rehearsal:
            return Plan(one.rollouts, why={**why, "why": "rehearsed"})
        own, topic = self._known(one)
        solved = (own if own.all >= 0.5 else topic).mostly_solved
        return Plan(0, Route.SKIP if solved else Route.FAST, {**why, "why": "solved" if solved else "fails"})

    def _chance(self, one: Upcoming) -> float:
        """Draw the chance that a group of this example has a gradient."""
        rng = random.Random(derive_seed(self._seed, "chance", one.step, one.example_id))
        own, topic = self._known(one)
        drawn = rng.betavariate(1 + topic.live, 1 + topic.all - topic.live)
        if own.all <= 0:
            return drawn
        # The smallest parameter keeps the draw defined where the topic's is 0 or 1 to the last bit.
        live, dead = PRIOR_GROUPS * drawn + own.live, PRIOR_GROUPS * (1 - drawn) + own.all - own.live
        return rng.betavariate(max(live, 1e-6), max(dead, 1e-6))

    def _known(self, one: Upcoming) -> tuple[Seen, Seen]:
        """Return what is known of an example and of its topic."""
        places = (self._examples, one.example_id), (self._topics, one.task)
        own, topic = (known.get(name, Seen()).at(one.step) for known, name in places)
        return own, topic

    def state_dict(self) -> dict[str, Any]:
        return {
            "group": self._group,
            "topics": {name: asdict(seen) for name, seen in self._topics.items()},
            "examples": {name: asdict(seen) for name, seen in self._examples.items()},
        }

    def begin_anew(self) -> None:
        """Keep what is known of topics, as of step 0, and forget examples: those of another run may bear the same
        names."""
        self._topics = {name: replace(seen, step=0) for name, seen in self._topics.items()}
        self._examples = {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._group = int(state["group"])
        self._topics = {name: Seen(**seen) for name, seen in state["topics"].items()}
        self._examples = {name: Seen(**seen) for name, seen in state["examples"].items()}
