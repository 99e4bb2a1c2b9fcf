"""A mode is a combination of channels in an order, and nothing else asks which mode it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

When = Literal["before", "between", "after"]


@dataclass(frozen=True)
class Mode:
    """Which channels learn, and when fast phases come: between the slow steps, all before or all after them.

    Every mode with a fast channel runs as many fast phases on the same lookaheads, one for each cycle of slow steps.
    """

    name: str
    fast: bool
    slow: bool
    when: When = "between"

    def cycles_at(self, step: int, *, steps: int, cycle_steps: int) -> Iterable[int]:
        """Numbers of the cycles whose fast phase is due before slow step `step`; step `steps` is the end of the run."""
        if not self.fast:
            return ()
        if self.when == "between":
            return (step // cycle_steps,) if step < steps and step % cycle_steps == 0 else ()
        due = 0 if self.when == "before" else steps
        return range(-(-steps // cycle_steps)) if step == due else ()


MODES = {
    mode.name: mode
    for mode in (
        Mode("fst", fast=True, slow=True),
        Mode("rl", fast=False, slow=True),
        Mode("prompt", fast=True, slow=False),
        Mode("prompt_rl", fast=True, slow=True, when="before"),
        Mode("rl_prompt", fast=True, slow=True, when="after"),
    )
}
