"""Limit the time that a run may take, over all its resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class WallTime:
    """Decide when no further step may begin.

    Args:
        minutes: the ceiling; None: unlimited.
        elapsed: seconds the run has taken so far, those before a resume included.
    """

    def __init__(self, minutes: float | None, elapsed: Callable[[], float]):
        self._seconds = None if minutes is None else 60.0 * minutes
        self._elapsed = elapsed
        self._since: float | None = None
        self.longest = 0.0
        """Seconds of the longest step so far, from end to end, with evaluations and fast phases in between."""

    def steps_begin(self) -> None:
        """Start the clock, at the first step of this process."""
        self._since = self._since or time.perf_counter()

    def step_ends(self) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self.longest = max(self.longest, now - self._since)
        self._since = now

    def allows_a_step(self) -> bool:
        """Return whether one more step, as long as the longest so far, would end before the ceiling."""
        return self._seconds is None or self._elapsed() + self.longest <= self._seconds

    def state_dict(self) -> dict[str, float]:
        """Return the longest step, in seconds."""
        return {"longest": self.longest}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up the longest step."""
        self.longest = state["longest"]

    @property
    def is_over(self) -> bool:
        return self._seconds is not None and self._elapsed() >= self._seconds
