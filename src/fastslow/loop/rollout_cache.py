"""Keep rollouts that serve both channels: the fast phase's rollouts fill matching slots of the next slow steps."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from fastslow.core.types import Rollout


class RolloutCache:
    """Hold scored rollouts for slots with the same (context, example); each is served at most once.

    Emptied at every fast phase, so nothing in it is ever older than one cycle (the paper's rule).
    """

    def __init__(self, rollouts: Iterable[Rollout] = ()):
        self._waiting: dict[tuple[str, str], deque[Rollout]] = defaultdict(deque)
        for rollout in rollouts:
            if rollout.verdict.scored:
                self._waiting[rollout.context_id, rollout.example_id].append(rollout)

    def take(self, context_id: str, example_id: str) -> Rollout | None:
        waiting = self._waiting.get((context_id, example_id))
        return waiting.popleft() if waiting else None

    def forget(self, after: int) -> None:
        """Drop the rollouts of weights that are gone: of versions above `after`."""
        for place, queue in self._waiting.items():
            self._waiting[place] = deque(rollout for rollout in queue if rollout.policy_version <= after)

    def waiting(self) -> list[Rollout]:
        """Return the rollouts that have not been served, in an order that rebuilds an equal cache."""
        return [rollout for queue in self._waiting.values() for rollout in queue]

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
