"""Count what the calls of a reflection LM have cost, and limit it."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.errors import BadInput


@dataclass
class Usage:
    """Count what the calls have cost so far.

    `calls` counts requested samples (a second draw is a second call, an HTTP retry is not), and `failures` the calls of
    `complete` that raised. Tokens are those that the endpoint reported; `unmetered` counts the replies without a
    report, so with `unmetered > 0` the token counts are lower bounds. `unreadable` counts replies in which a proposer
    found no edit: they were paid for like the others. `cost` is in US dollars; None is unknown.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failures: int = 0
    unmetered: int = 0
    unreadable: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class Ceiling:
    """Hold the highest cost of the calls of a run; None is no limit. Prices are in US dollars per million tokens.

    A ceiling is hard: a call is made only if its highest possible cost stays below the ceiling, counting one token for
    each byte of the prompt, which no tokenizer exceeds, and all of `max_tokens`.
    """

    tokens: int | None = None
    usd: float | None = None
    price_prompt: float | None = None
    price_completion: float | None = None

    def __post_init__(self) -> None:
        if self.usd is not None and (self.price_prompt is None or self.price_completion is None):
            raise BadInput(
                "a ceiling in dollars needs prices: set --reflection_price_prompt and --reflection_price_completion."
            )

    def passed(self, prompt_tokens: int, completion_tokens: int) -> str | None:
        """Return, in words, the ceiling that this many tokens would pass; None where they pass none."""
        if self.tokens is not None and prompt_tokens + completion_tokens > self.tokens:
            return f"{self.tokens} tokens"
        cost = (prompt_tokens * (self.price_prompt or 0) + completion_tokens * (self.price_completion or 0)) / 1e6
        return f"{self.usd:g} US dollars" if self.usd is not None and cost > self.usd else None
