"""Define the modes: each is a combination of channels in an order; no other file compares names of modes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

When = Literal["before", "between", "after"]
Role = Literal["reference", "candidate", "other"]
Shipped = Literal["seed", "lead", "cluster", "retrieved"]
Source = Literal["rewards", "answers", "successes", "teacher"]


@dataclass(frozen=True)
class Mode:
    """Which channels learn, and when fast phases come: between the slow steps, all before or all after them.

    Every mode with a fast channel runs as many fast phases on the same lookaheads, one for each cycle of slow steps.
    `title` is the mode's name in reports, where it differs. `role` is the default role of the mode in an experiment:
    the reference that other arms are compared with, or the candidate that the question is about. `learns_from` is what
    the weights follow: the rewards of rollouts; the right answers of the data, without a rollout; those rollouts that
    earned full reward, taken for right answers (rejection sampling); or a teacher, which is the model itself with the
    right answer before its eyes (self-distillation). With `consolidates`, the last slow steps of a cycle draw what the
    model answers under the seed context to what it answers under the cycle's contexts, and what ships needs none. With
    `retrieves`, nothing learns: the answers of the data that the stream has shown are kept, and those of similar
    questions put before a new one.
    """

    name: str
    fast: bool
    slow: bool
    when: When = "between"
    role: Role = "other"
    title: str = ""
    learns_from: Source = "rewards"
    consolidates: bool = False
    retrieves: bool = False

    @property
    def imitates(self) -> bool:
        """Whether the weights learn to say given answers, instead of following rewards."""
        return self.learns_from in ("answers", "successes")

    @property
    def has_teacher(self) -> bool:
        """Whether the model under another prompt says how good each token of an answer is, in some steps or in all."""
        return self.consolidates or self.learns_from == "teacher"

    @property
    def needs_answers(self) -> bool:
        """Whether nothing can be learned without the data's right answers."""
        return self.retrieves or self.learns_from in ("answers", "teacher")

    @property
    def samples(self) -> bool:
        """Whether a slow step makes rollouts, if there are slow steps."""
        return self.learns_from != "answers"

    def cycles_at(self, step: int, *, steps: int, cycle_steps: int) -> Iterable[int]:
        """Return the numbers of the cycles whose fast phase is due before slow step `step`; step `steps` is the end of
        the run."""
        if not self.fast:
            return ()
        if self.when == "between":
            return (step // cycle_steps,) if step < steps and step % cycle_steps == 0 else ()
        due = 0 if self.when == "before" else steps
        return range(-(-steps // cycle_steps)) if step == due else ()

    def cycles_left(self, step: int, *, steps: int, cycle_steps: int) -> int:
        """Return how many fast phases are due before slow step `step` and all later ones: the sum of `cycles_at`."""
        every = -(-steps // cycle_steps) if self.fast else 0
        if self.when == "between":
            return max(0, every - -(-step // cycle_steps))
        return 0 if self.when == "before" and step > 0 else every

    def ships(self, *, chosen: bool) -> Shipped:
        """Return the kind of context that a bundle of this mode is used with.

        `chosen`: topics have contexts of their own, and the question decides. Without a fast channel the seed context
        is the only one, unless answers are retrieved; and where contexts went into the weights, none is needed.
        """
        if self.retrieves:
            return "retrieved"
        if not self.fast or self.consolidates:
            return "seed"
        return "cluster" if chosen else "lead"


MODES = {
    mode.name: mode
    for mode in (
        Mode("fst", fast=True, slow=True, role="candidate"),
        Mode("rl", fast=False, slow=True, role="reference", title="plain RL"),
        Mode("prompt", fast=True, slow=False),
        Mode("prompt_rl", fast=True, slow=True, when="before"),
        Mode("rl_prompt", fast=True, slow=True, when="after"),
        Mode("supervised", fast=False, slow=True, title="supervised fine-tuning", learns_from="answers"),
        Mode("self_distillation", fast=False, slow=True, title="self-distillation", learns_from="teacher"),
        Mode("consolidate", fast=True, slow=True, title="both channels, consolidated", consolidates=True),
        Mode("rejection", fast=False, slow=True, title="rejection-sampling fine-tuning", learns_from="successes"),
        Mode("retrieval", fast=False, slow=False, title="retrieval", retrieves=True),
    )
}
REFERENCE = next(mode for mode in MODES.values() if mode.role == "reference")
CANDIDATE = next(mode for mode in MODES.values() if mode.role == "candidate")
SEQUENTIAL = tuple(name for when in ("after", "before") for name, mode in MODES.items() if mode.when == when)
"""The modes in which one channel comes after the other, in both orders."""
