"""The settings of the topics: which questions belong together."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting

OURS = ("minilm", "ngrams")
"""Embedders that run no foreign code, and that need no check of their vectors."""


@dataclass
class TopicSettings(SettingsGroup):
    """What has contexts of its own, and by which measure questions are similar."""

    title = "Topics"

    clusters: str = setting(
        "none",
        "What has contexts of its own: 'none', 'inferred' clusters of similar questions (labels are not used), or "
        "'labels'.",
        choices=("none", "inferred", "labels"),
        in_bundle=True,
    )
    embedder: str = setting(
        "minilm",
        "Measure of similarity for clusters: 'minilm', 'ngrams' (needs no model), 'sentence-transformers:NAME', a "
        "dotted path.",
        in_bundle=True,
    )
