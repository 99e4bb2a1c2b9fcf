"""The settings of the evaluation: when it comes, and how it samples."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, setting
from fastslow.policy.settings import LEAST_TEMPERATURE, MOST_TEMPERATURE, is_temperature


@dataclass
class EvaluationSettings(SettingsGroup):
    """When accuracy and drift are measured, and how."""

    title = "Evaluation"

    eval_strategy: str = setting("steps", "'steps' evaluates every eval_steps and at the end; 'no' at the end only.")
    eval_steps: float = setting(10, "Time between evaluations.", unit="optimiser steps", at_least=1, whole=True)
    eval_contexts: str = setting(
        "all", "Contexts of the evaluations during a run: 'all' (seed, lead, the mean over the population, and those "
        "chosen by the question) or 'shipped', the one that the bundle is used with; the last evaluation has all.",
        choices=("all", "shipped"), channel="fast",
    )  # fmt: skip
    eval_samples: int = setting(
        1, "Samples per validation example; their mean is the accuracy.", unit="samples", at_least=1, in_bundle=True
    )
    eval_temperature: float = setting(
        0.0, "Temperature of evaluation; 0 is greedy (the paper: 0.6 over 4 samples).", at_least=0,
        at_most=MOST_TEMPERATURE, in_bundle=True,
    )  # fmt: skip
    eval_top_p: float = setting(
        1.0, "Top-p of evaluation (the paper: 0.95).", unit="probability", above=0, at_most=1, in_bundle=True
    )
    kl_examples: int = setting(
        16, "Validation prompts for the KL to the base model; 0 leaves it out.", unit="examples", at_least=0
    )

    def check(self) -> None:
        """Refuse a temperature between greedy and the least. Raises BadInput."""
        if not is_temperature(self.eval_temperature):
            raise BadInput(
                f"eval_temperature must be 0 (greedy) or at least {LEAST_TEMPERATURE}, got {self.eval_temperature}."
            )
