"""The settings of the contexts: how many there are, what they start from, how large they may become."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, setting


@dataclass
class ContextSettings(SettingsGroup):
    """How many contexts there are, what they start from, and how large they may become."""

    title = "Contexts"

    seed_instruction: str = setting("", "Instruction of the seed context; '' leaves the chat template's own default.")
    population_size: int = setting(
        4, "K: contexts in use at most. The paper uses 4 to 8.", unit="contexts", at_least=1, channel="fast"
    )
    lead: str = setting(
        "anchor", "What the lead and the members are chosen by: the latest 'anchor' set alone (the paper), or the "
        "'evidence' of all rollouts.", choices=("anchor", "evidence"), channel="fast",
    )  # fmt: skip
    slots: str = setting(
        "even",
        "How the rollouts of a step are dealt to the contexts: 'even' (the paper), 'adaptive', by the chance of each "
        "to be the best one a cycle from now, or 'earned', the same among those that are surely better than the seed "
        "context, which has the rest.",
        choices=("even", "adaptive", "earned"), channel="fast",
    )  # fmt: skip
    seed_slots: float = setting(
        0.125,
        "Least share of the slots of the seed context, until it is shown to be dead; with slots other than 'even'.",
        unit="share", at_least=0, at_most=1, channel="fast",
    )  # fmt: skip
    evidence_half_life: float = setting(
        5.0, "Optimiser steps after which a rollout counts half as evidence for its context.", unit="steps", above=0,
        channel="fast",
    )  # fmt: skip
    max_worked_examples: int = setting(
        4, "Worked examples in one context at most.", unit="examples", at_least=1, channel="fast"
    )
    max_context_tokens: int = setting(1024, "Longest context.", unit="tokens", above=0, channel="fast")


@dataclass
class SoftSettings(SettingsGroup):
    """Contexts that are no text, but rows beside the embedding which learn."""

    title = "Soft contexts"

    fast_weights: str = setting(
        "text",
        "What contexts are: 'text' (the paper); 'soft', rows beside the embedding, born from the first fast phase's "
        "texts and trained by slow steps, in mode prompt with frozen weights; or 'both' in one population.",
        choices=("text", "soft", "both"), channel="fast",
    )  # fmt: skip
    soft_tokens: int = setting(
        128, "Most rows of a soft context; of a longer text, fewer worked examples are copied.", unit="tokens",
        at_least=1, at_most=8192, channel="fast",
    )  # fmt: skip
    soft_learning_rate: float = setting(
        3e-3, "Learning rate of the rows (AdamW, constant, no weight decay).", above=0, at_most=10.0, channel="fast"
    )

    def check(self) -> None:
        """Refuse settings of soft contexts where there are none. Raises BadInput."""
        for f in fields(SoftSettings):
            if self.fast_weights == "text" and getattr(self, f.name) != f.default:
                raise BadInput(f"{f.name} is about soft contexts, and fast_weights is 'text': set it to soft or both.")
