"""scripts/oldest.py reads the lower bounds that CI installs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from oldest import lower_bounds  # noqa: E402


def test_every_direct_dependency_is_pinned_to_its_lower_bound() -> None:
    project = {
        "name": "ours",
        "dependencies": ["torch>=2.9,<2.14", "bm25s == 0.3.16"],
        "optional-dependencies": {"dev": ["ours[trackers]", "pytest>=9,<10"]},
    }
    assert lower_bounds(project) == {"torch": "2.9", "bm25s": "0.3.16", "pytest": "9"}


def test_a_dependency_without_a_lower_bound_is_named() -> None:
    with pytest.raises(ValueError, match="torch<3"):
        lower_bounds({"name": "ours", "dependencies": ["torch<3"], "optional-dependencies": {}})
