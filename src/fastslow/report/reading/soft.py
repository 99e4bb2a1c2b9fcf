"""Read what the rows of soft contexts are near, as a run or bundle says, and write it as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastslow.contexts.soft import SoftText
from fastslow.report.reading.values import mapping, number, read_json, text

ABOUT = "soft.json"
A_LINE = 6
"""Rows in a line."""

Nearest = Mapping[str, Sequence[tuple[str, float]]]
"""Context id -> of each row the nearest token and the cosine between them."""


def nearest_tokens(described: Any) -> dict[str, list[tuple[str, float]]]:
    """Return the nearest tokens from what `soft` of summary.json holds; what is damaged is left out."""
    found: dict[str, list[tuple[str, float]]] = {}
    for context_id, one in mapping(described).items():
        rows = mapping(one).get("nearest")
        pairs = [row for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
        found[text(context_id, "")] = [(text(token, "?"), number(cosine) or 0.0) for token, cosine in pairs]
    return found


def read_nearest(folder: Path) -> dict[str, list[tuple[str, float]]]:
    """Return the same from the soft.json of a bundle; {} where there is none, or one that is damaged."""
    try:
        return nearest_tokens(mapping(read_json(folder / ABOUT)).get("contexts"))
    except (OSError, ValueError):
        return {}


def described(soft: SoftText, nearest: Sequence[tuple[str, float]] | None) -> list[str]:
    """Write a soft context as lines: each row as the nearest token, quoted, and the cosine, where they are known."""
    if not nearest:
        return [f"{soft.tokens} rows beside the embedding (birth {soft.birth}); what they are near was not kept"]
    shown = [f"{token!r} {cosine:.2f}" for token, cosine in nearest]
    return [
        f"{soft.tokens} rows beside the embedding (birth {soft.birth}), each by the nearest token and the cosine:",
        *("  ".join(shown[i : i + A_LINE]) for i in range(0, len(shown), A_LINE)),
    ]
