"""Deal every place of a batch to a task by weights: `mixture:WEIGHTS` has fixed weights, `drift` moves them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from fastslow.core.errors import BadInput
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.streams.schedules import STREAMS, Setting


class Dealt:
    """Draw the task of each place with `weights(step)`, independently of all other places.

    The position in a task's order of examples advances with the whole stream, and what falls to other tasks is skipped.
    A place therefore needs no count of earlier places, and no example comes twice within as many places as its task has
    examples.
    """

    def __init__(self, setting: Setting, weights: Callable[[int], Sequence[float]]):
        self._setting = setting
        self._weights = weights
        self.steps = setting.tasks * setting.stage_steps

    def place(self, step: int, slot: int) -> tuple[int, int]:
        position = step * self._setting.batch_size + slot
        rng = random.Random(derive_seed(self._setting.seed, "deal", position))
        (task,) = rng.choices(range(self._setting.tasks), self._weights(step))
        return task, position

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        return tasks


@STREAMS.register("mixture")
def mixture(arguments: str, setting: Setting) -> Dealt:
    """Schedule all tasks at all times by WEIGHTS, as in `mixture:0.5,0.3,0.2` (default equal); the weights need not sum
    to 1."""
    try:
        weights = [float(part) for part in arguments.split(",")] if arguments else [1.0] * setting.tasks
    except ValueError:
        raise BadInput(f"give numbers, as in mixture:0.5,0.3,0.2, got '{arguments}'.") from None
    valid = all(w >= 0 for w in weights) and math.isfinite(sum(weights)) and sum(weights) > 0
    if len(weights) != setting.tasks or not valid:
        raise BadInput(
            f"give a weight of at least 0, with a finite sum above 0, for each of the {setting.tasks} tasks, got "
            f"'{arguments}'."
        )
    return Dealt(setting, lambda step: weights)


@STREAMS.register("drift")
def drift(arguments: str, setting: Setting) -> Dealt:
    """Schedule a gradual change from the first task to the last: at any time at most two tasks, in proportions that
    change from step to step."""
    if arguments:
        raise BadInput(f"'drift' takes no arguments, got '{arguments}'.")
    last, steps = setting.tasks - 1, setting.tasks * setting.stage_steps

    def weights(step: int) -> list[float]:
        at = last * min(1.0, step / max(1, steps - 1))
        return [max(0.0, 1.0 - abs(at - task)) for task in range(setting.tasks)]

    return Dealt(setting, weights)
