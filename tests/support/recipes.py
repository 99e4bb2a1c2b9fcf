"""Recipes as this version of the settings reads them."""

from __future__ import annotations

import re
from pathlib import Path

from fastslow.config.groups import SPECS

ENGINE = re.compile(r"^(?:engine\w*:.*\n(?:  - .*\n)*)", re.MULTILINE)


def readable(recipe: Path, folder: Path) -> Path:
    """The recipe; where this version has no engines to choose, a copy in `folder` without the settings of them."""
    if "engine" in SPECS:
        return recipe
    copy = folder / recipe.name
    copy.write_text(ENGINE.sub("", recipe.read_text()))
    return copy
