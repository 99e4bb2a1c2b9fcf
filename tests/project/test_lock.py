"""The lock of tested versions fits what the package asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "@" not in line and "/" not in line for line in lines), (
        "names and versions only"
    )
    return {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# DeepSpeed is installed by who wants it: the suite skips what needs it, so no version of it was tested by the suite.
# What builds the site has an environment of its own.
UNTESTED = ("deepspeed", "docs")
EXTRAS = [group for name, group in PROJECT["optional-dependencies"].items() if name not in UNTESTED]
GROUPS = [PROJECT["dependencies"], *EXTRAS]
WANTED = [Requirement(line) for group in GROUPS for line in group]


@pytest.mark.parametrize("wanted", [r for r in WANTED if r.name != "fastslow"], ids=lambda r: r.name)
def test_the_lock_has_every_dependency_within_its_range(wanted: Requirement) -> None:
    assert wanted.specifier.contains(pins("constraints-tested.txt")[canonicalize_name(wanted.name)])


def test_the_lock_agrees_with_the_constraints_and_holds_no_build_of_one_machine() -> None:
    tested = pins("constraints-tested.txt")
    assert pins("constraints.txt").items() <= tested.items()
    assert "fastslow" not in tested
    assert not [version for version in tested.values() if "+" in version]
