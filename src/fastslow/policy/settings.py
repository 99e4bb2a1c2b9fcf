"""The settings of the policy: the model, and how its answers are sampled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, inherited, setting

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0
"""Logits are divided by it. Below, sampling is greedy but for overflows of fp32 (vLLM raises lower ones to 0.01 for
that reason); above, it is uniform."""

TEMPLATE_DATE = "2026-01-01"
"""What chat templates that print the date are told: always the same, or two runs of one seed would differ."""


def is_temperature(value: float) -> bool:
    """Return whether answers can be sampled at this temperature; 0 is greedy."""
    return value == 0 or LEAST_TEMPERATURE <= value <= MOST_TEMPERATURE


def moment_of(date: str) -> datetime:
    """Return the moment that a date in ISO form names, midnight where it names no time. Raises BadInput."""
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        raise BadInput(f"template_date must be a date such as 2026-01-31 or 2026-01-31T09:30, got '{date}'.") from None


@dataclass
class PolicySettings(SettingsGroup):
    """Which model answers, and how training samples its answers."""

    title = "Model and sampling"

    model: str = setting(
        "smollm2-135m", "'smollm2-135m' (embedded), a folder written by save_pretrained, or a hub id.", in_bundle=True
    )
    bf16: bool | None = setting(
        None, "Compute in bf16 over fp32 weights; default: where the machine is faster with it.", incidental=True
    )
    temperature: float = setting(
        1.0, "Sampling temperature of rollouts.", at_least=LEAST_TEMPERATURE, at_most=MOST_TEMPERATURE
    )
    max_completion_length: int = inherited(
        512, "Longest answer; short answers train much faster.", unit="tokens", above=0, in_bundle=True
    )
    top_p: float = inherited(
        1.0, "Rollouts: sample from the likeliest tokens that hold this probability.", unit="probability", above=0,
        at_most=1,
    )  # fmt: skip
    top_k: int = inherited(0, "Rollouts: sample from this many likeliest tokens; 0: from all.", at_least=0)
    min_p: float | None = inherited(
        None, "Rollouts: leave out tokens below this share of the likeliest token's probability.", unit="probability",
        at_least=0, at_most=1,
    )  # fmt: skip
    repetition_penalty: float = inherited(
        1.0, "Rollouts: above 1, tokens already used become less likely.", at_least=LEAST_TEMPERATURE,
        at_most=MOST_TEMPERATURE,
    )  # fmt: skip
    chat_template_kwargs: dict | str | None = inherited(  # noqa: RUF009 - the default is None
        None, "Arguments of the chat template, a mapping; on the command line as JSON.", in_bundle=True
    )
    template_date: str = setting(
        TEMPLATE_DATE, "The date that chat templates are told which print one; fixed, so that runs repeat.",
        in_bundle=True,
    )  # fmt: skip

    def check(self) -> None:
        """Refuse a date that is none."""
        moment_of(self.template_date)
