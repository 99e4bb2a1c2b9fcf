"""The settings of the router: which channel learns from which example."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class RouterSettings(SettingsGroup):
    """Which channel absorbs an example, and what each channel receives at least."""

    title = "Router"

    router: str = setting(
        "both",
        "Which channel absorbs an example: 'both' (the paper), 'variance', 'learned', 'success_gate', "
        "'threshold:gamma', 'triage', 'fast', 'slow', 'skip', 'random:p,q', a dotted path.",
        in_bundle=True,
    )
    min_fast_share: float = setting(
        0.05, "Smallest part of the groups that reaches the fast channel; the constants and 'random' are exempt.",
        unit="share", at_least=0, at_most=1,
    )  # fmt: skip
    min_slow_share: float = setting(
        0.05, "Smallest part of the groups that reaches the weights; the constants and 'random' are exempt.",
        unit="share", at_least=0, at_most=1,
    )  # fmt: skip
    dynamic_sampling: int = setting(
        0, "How often in a step the groups whose rewards are all equal are replaced by groups of other examples, all "
        "of them paid for (DAPO); 0: never.",
        unit="rounds", at_least=0, at_most=64,
    )  # fmt: skip
