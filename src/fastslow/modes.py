"""A mode is a combination of channels, and nothing else asks which mode it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """Which channels learn."""

    name: str
    fast: bool
    slow: bool


MODES = {
    mode.name: mode
    for mode in (
        Mode("fst", fast=True, slow=True),
        Mode("rl", fast=False, slow=True),
        Mode("prompt", fast=True, slow=False),
    )
}
