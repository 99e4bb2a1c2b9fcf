"""A finished run of three steps whose contexts are soft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastslow.config.settings import FastSlowConfig
from fastslow.policy.engines.base import SamplingParams
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.runs import tiny_settings

SOFT: dict[str, Any] = {"fast_weights": "soft", "soft_tokens": 200, "soft_learning_rate": 1e-2, "max_steps": 3}
GREEDY = SamplingParams(8, temperature=0.0)


def soft_run(folder: Path) -> Path:
    train(FastSlowConfig(**tiny_settings(folder, **SOFT)), display=SilentDisplay())
    return folder / "run"
