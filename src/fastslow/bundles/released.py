"""The names of released bundles: those of a registry's versions, and the aliases that stand for one of them."""

from __future__ import annotations

import re

NAME = re.compile(r"([0-9]{4,9})-([0-9a-f]{12})")
"""A version: its number, and the beginning of the bundle's digest."""

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"
ALIASES = (CHAMPION, CANDIDATE, PREVIOUS)
