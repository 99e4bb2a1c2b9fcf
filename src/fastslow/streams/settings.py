"""The settings of the stream: how examples arrive, and what the learner is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting
from fastslow.streams.labels import noise_of


@dataclass
class StreamSettings(SettingsGroup):
    """How examples arrive, what the learner is told of them, and how many come again."""

    title = "Stream"

    stage_steps: int = setting(
        0, "Steps on each of several tasks, at least 1; max_steps follows from it.", unit="optimiser steps", at_least=0
    )
    stream: str = setting(
        "",
        "How several tasks arrive: 'sequence' (default), 'recur:ROUNDS', 'interleave:STEPS', 'mixture:WEIGHTS', "
        "'drift', 'overlap:SHARE', a dotted path; of one file: 'arrival', its lines in their order.",
    )
    labels: str = setting(
        "visible", "What the learner is told as an example's task: 'visible', 'hidden', 'noisy:SHARE' (of wrong ones).",
        in_bundle=True,
    )  # fmt: skip
    rehearsal_share: float = setting(
        0.0, "Part of every batch that is drawn from past steps.", unit="share", at_least=0, at_most=0.9
    )

    def check(self) -> None:
        """Refuse labels that cannot be read. Raises BadInput."""
        noise_of(self.labels)
