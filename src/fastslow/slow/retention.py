"""Watch what was learned: past tasks are measured again, and a fall below the floor has consequences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastslow.core.measurement import Measurement

STRONGEST = 64.0
"""Largest factor by which the KL coefficient is raised."""

REHEARSED = 0.5
"""Largest share of a batch that may be rehearsal."""


@dataclass(frozen=True)
class Forgetting:
    """A task whose accuracy is below `floor`, beyond what chance explains."""

    task: str
    accuracy: float
    peak: float
    floor: float


class RetentionWatch:
    """Compare each evaluation with the best so far, task by task, for the tasks that have been trained on.

    A task has fallen where its accuracy, plus one standard error, lies below `floor` times its peak. The error is that
    of a task which stands right at its floor, so it is not 0 where an unlucky evaluation of few examples has nothing
    right: in other words, the upper end of Wilson's score interval lies below the floor (Wilson 1927, "Probable
    inference, the law of succession, and statistical inference", with z = 1). That the peak, the best of several
    evaluations, is uncertain too is left out. Each fall doubles `strength`, each evaluation without a fall halves
    `strength` again, down to 1; `strength` multiplies the effect of the action.

    Args:
        floor: share of the peak that has to be kept, in (0, 1].
    """

    def __init__(self, floor: float):
        self._floor = floor
        self._seen: set[str] = set()
        self._peaks: dict[str, float] = {}
        self.strength = 1.0
        self.good_step: int | None = None
        """The latest evaluated step at which nothing had fallen."""

    def saw(self, tasks: Iterable[str]) -> None:
        """Note that these tasks are being trained on."""
        self._seen.update(tasks)

    def judge(self, step: int, accuracies: Mapping[str, tuple[float, int]]) -> list[Forgetting]:
        """Return the tasks below their floor. `accuracies`: task -> accuracy in [0, 1] and the number of examples
        behind it."""
        falls = []
        for task, (accuracy, examples) in sorted(accuracies.items()):
            if task not in self._seen:
                continue
            peak = self._peaks[task] = max(accuracy, self._peaks.get(task, 0.0))
            least = self._floor * peak
            if accuracy + math.sqrt(least * (1.0 - least) / max(1, examples)) < least:
                falls.append(Forgetting(task, accuracy, peak, least))
        if falls:
            self.strength = min(STRONGEST, 2.0 * self.strength)
        else:
            self.strength = max(1.0, 0.5 * self.strength)
            self.good_step = step
        return falls

    def state_dict(self) -> dict[str, Any]:
        return {
            "seen": sorted(self._seen), "peaks": self._peaks, "strength": self.strength, "good_step": self.good_step,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seen, self._peaks = set(state["seen"]), dict(state["peaks"])
        self.strength, self.good_step = state["strength"], state["good_step"]


def accuracy_by_task(measurements: Sequence[Measurement], context: str) -> dict[str, tuple[float, int]]:
    """Map each task to its accuracy under this kind of context and the number of examples; tasks of which no answer
    was scored are left out."""
    return {m.task: (m.accuracy, m.n) for m in measurements if m.context == context and m.accuracy is not None}
