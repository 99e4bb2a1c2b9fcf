"""The settings of the evaluation: when it comes, and how it samples."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class EvaluationSettings(SettingsGroup):
    """When accuracy and drift are measured, and how."""

    title = "Evaluation"

    eval_strategy: str = setting("steps", "'steps' evaluates every eval_steps and at the end; 'no' at the end only.")
    eval_steps: float = setting(10, "Time between evaluations.", unit="optimiser steps", above=0)
    eval_samples: int = setting(
        1, "Samples per validation example; their mean is the accuracy.", unit="samples", at_least=1, in_bundle=True
    )
    eval_temperature: float = setting(
        0.0, "Temperature of evaluation; 0 is greedy (the paper: 0.6 over 4 samples).", at_least=0, in_bundle=True
    )
    eval_top_p: float = setting(
        1.0, "Top-p of evaluation (the paper: 0.95).", unit="probability", above=0, at_most=1, in_bundle=True
    )
    kl_examples: int = setting(
        16, "Validation prompts for the KL to the base model; 0 leaves it out.", unit="examples", at_least=0
    )
