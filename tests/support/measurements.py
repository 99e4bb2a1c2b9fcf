"""Measurements made by hand."""

from __future__ import annotations

from typing import Any

from fastslow.core.measurement import Measurement

USUAL: dict[str, Any] = {
    "accuracy": 0.5, "low": 0.3, "high": 0.7, "best": 0.75, "n": 4, "samples": 2, "unscored": 0, "context": "lead",
    "context_id": "c0ffee", "task": "a", "split": "validation", "weights": "trained",
}  # fmt: skip


def measurement(**overrides: Any) -> Measurement:
    """One of the trained weights under the lead context, unless told otherwise."""
    return Measurement(**{**USUAL, **overrides})
