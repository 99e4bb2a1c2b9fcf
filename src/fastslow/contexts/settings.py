"""The settings of the contexts: how many there are, what they start from, how large they may become."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class ContextSettings(SettingsGroup):
    """How many contexts there are, what they start from, and how large they may become."""

    title = "Contexts"

    seed_instruction: str = setting("", "Instruction of the seed context; '' leaves the chat template's own default.")
    population_size: int = setting(
        4, "K: contexts in use at most. The paper uses 4 to 8.", unit="contexts", at_least=1, channel="fast"
    )
    max_worked_examples: int = setting(
        4, "Worked examples in one context at most.", unit="examples", at_least=1, channel="fast"
    )
    max_context_tokens: int = setting(1024, "Longest context.", unit="tokens", above=0, channel="fast")
