"""Say how an optional part of fastslow is installed: from a clone of its sources, as it is on no package index yet."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """Return the command for an extra of pyproject.toml, worded to end a sentence."""
    return f"pip install '.[{extra}]' in a clone of fastslow"
