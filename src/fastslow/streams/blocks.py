"""Schedule one task at a time. `sequence`, `recur:ROUNDS` and `interleave:STEPS` differ in the length and number of
blocks."""

from __future__ import annotations

from collections.abc import Sequence

from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.streams.schedules import STREAMS, Setting


class Blocks:
    """Schedule blocks of `block_steps` steps, one task after another, `rounds` times; then the last task continues.

    A task that returns continues in its examples where it stopped.
    """

    def __init__(self, setting: Setting, *, block_steps: int, rounds: int):
        self._setting = setting
        self._block_steps = block_steps
        self._last = rounds * setting.tasks - 1
        self.steps = rounds * setting.tasks * block_steps

    def place(self, step: int, slot: int) -> tuple[int, int]:
        block = min(step // self._block_steps, self._last)
        turn, task = divmod(block, self._setting.tasks)
        of_task = turn * self._block_steps + step - block * self._block_steps
        return task, of_task * self._setting.batch_size + slot

    def pools(self, tasks: Sequence[Sequence[Example]]) -> Sequence[Sequence[Example]]:
        return tasks


@STREAMS.register("sequence")
def sequence(arguments: str, setting: Setting) -> Blocks:
    """Schedule one stage for each task."""
    if arguments:
        raise BadInput(f"'sequence' takes no arguments, got '{arguments}'.")
    return Blocks(setting, block_steps=setting.stage_steps, rounds=1)


@STREAMS.register("recur")
def recur(arguments: str, setting: Setting) -> Blocks:
    """Schedule the whole sequence ROUNDS times (default 2): every task returns after the others."""
    return Blocks(setting, block_steps=setting.stage_steps, rounds=_count(arguments or "2", least=2))


@STREAMS.register("interleave")
def interleave(arguments: str, setting: Setting) -> Blocks:
    """Schedule blocks of STEPS steps (default 1), as many as give each task `stage_steps` steps.

    The number of rounds is whole: where STEPS does not divide `stage_steps`, a run is slightly shorter or longer.
    """
    steps = _count(arguments or "1", least=1)
    if steps > setting.stage_steps:
        raise BadInput(f"turns of {steps} steps are longer than the stage_steps ({setting.stage_steps}) of each task.")
    return Blocks(setting, block_steps=steps, rounds=round(setting.stage_steps / steps))


def _count(text: str, *, least: int) -> int:
    # int() refuses thousands of digits with an error of its own
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise BadInput(f"give a whole number, at least {least} and of at most 9 digits, got '{text[:40]}'.")
    return int(text)
