"""The settings of the fast channel: GEPA's phases, the proposers and the reflection LM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, setting


@dataclass
class FastSettings(SettingsGroup):
    """How contexts evolve: the budget of a phase, who proposes, and the reflection LM."""

    title = "Fast channel"

    fast_metric_calls: int = setting(
        192, "Budget of one fast phase: a hard ceiling.", unit="rollouts", at_least=0, channel="fast"
    )
    fast_effort: str = setting(
        "fixed", "Budget of a fast phase: 'fixed', or 'adaptive': less after phases that brought no new member, at "
        "times none.", choices=("fixed", "adaptive"), channel="fast",
    )  # fmt: skip
    anchor_size: int = setting(
        16, "Examples of the lookahead on which every context is scored.", unit="examples", at_least=1, channel="fast"
    )
    reflection_minibatch_size: int = setting(
        4, "Examples that a proposal learns from and is first tried on.", unit="examples", at_least=1, channel="fast"
    )
    proposals_per_iteration: int = setting(
        4, "Proposals rolled out together in one GEPA iteration.", unit="proposals", at_least=1, channel="fast"
    )
    proposer: str = setting(
        "demonstrations", "'demonstrations' or 'instructions' (no LM), 'offline' (both), 'reflection', 'mixed' (with "
        "demonstrations), or a dotted path.", channel="fast",
    )  # fmt: skip
    edits: str = setting(
        "small", "Proposals make 'small' edits (the paper), or 'full' ones that replace a component.",
        choices=("small", "full"), channel="fast",
    )  # fmt: skip
    reflection_model: str = setting(
        "", "Model of the reflection LM: a name at the endpoint, or, without one, as --model.", channel="fast"
    )
    reflection_base_url: str = setting(
        "", "OpenAI-compatible endpoint of the reflection LM; '' runs it locally.", channel="fast"
    )
    reflection_api_key_env: str = setting(
        "OPENAI_API_KEY", "Environment variable with the endpoint's key; '' for none.", channel="fast"
    )
    reflection_price_prompt: float | None = setting(
        None, "Price of prompt tokens at the reflection endpoint; without both prices costs are unknown.",
        unit="US dollars per million tokens", at_least=0, channel="fast",
    )  # fmt: skip
    reflection_price_completion: float | None = setting(
        None, "Price of the tokens that the reflection endpoint writes.", unit="US dollars per million tokens",
        at_least=0, channel="fast",
    )  # fmt: skip
    reflection_max_tokens: int = setting(
        1024, "Longest reply of the reflection LM.", unit="tokens", at_least=1, channel="fast"
    )
    reflection_budget_tokens: int | None = setting(
        None, "Budget of all calls of the run to the reflection endpoint: a hard ceiling.", unit="tokens",
        at_least=0, channel="fast",
    )  # fmt: skip
    reflection_budget_usd: float | None = setting(
        None, "Budget of all calls of the run to the reflection endpoint: a hard ceiling. Needs both prices.",
        unit="US dollars", at_least=0, channel="fast",
    )  # fmt: skip

    def check(self) -> None:
        """Refuse what may hold a key, as settings are written to config.yaml. Raises BadInput."""
        url = urlsplit(self.reflection_base_url)
        if url.username or url.password or url.query:
            raise BadInput(
                "reflection_base_url must hold no user, password or query, which may be secrets; put the key into an "
                "environment variable and name that in reflection_api_key_env."
            )
        if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", self.reflection_api_key_env):
            raise BadInput("reflection_api_key_env is the name of an environment variable, not a key.")
