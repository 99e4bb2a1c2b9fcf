"""The contracts on imports in pyproject.toml speak of every package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
PACKAGES = {path.parent.name for path in (ROOT / "src/fastslow").glob("*/__init__.py")}


def test_every_package_has_a_layer() -> None:
    layers = CONTRACTS["Packages along the data's way"]["layers"]
    assert {name for layer in layers for name in layer.split(" | ")} == PACKAGES


@pytest.mark.parametrize(
    ("contract", "those_who_know"),
    [("Only slow and config know TRL", {"slow", "config"}), ("Only fast knows gepa", {"fast"})],
)
def test_a_library_is_forbidden_to_all_packages_but_those_named(contract: str, those_who_know: set[str]) -> None:
    sources = {name.removeprefix("fastslow.") for name in CONTRACTS[contract]["source_modules"]}
    assert sources == PACKAGES - those_who_know


def test_at_most_three_modules_lie_loose_at_the_top() -> None:
    assert len(list((ROOT / "src/fastslow").glob("*.py"))) <= 3
