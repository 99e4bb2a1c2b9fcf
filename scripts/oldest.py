"""Print constraints that pin every direct dependency to the lower bound that pyproject.toml allows.

    python scripts/oldest.py > oldest.txt
    make install CONSTRAINTS=oldest.txt

The suite is run with them as well as with the newest versions, so that a range promises nothing that nobody has tried.
What the dependencies themselves need is left to pip.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lower_bounds(project: dict) -> dict[str, str]:
    """Map each direct dependency of a [project] table, extras included, to the lowest version that its range allows.

    Raises ValueError for a dependency without a lower bound.
    """
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    bounds: dict[str, str] = {}
    for requirement in (Requirement(line) for group in groups for line in group):
        if requirement.name == project["name"]:
            continue
        lowest = [bound.version for bound in requirement.specifier if bound.operator in (">=", "==")]
        if len(lowest) != 1:
            raise ValueError(f"pyproject.toml: '{requirement}' needs one lower bound, as in '{requirement.name}>=1.2'.")
        bounds[requirement.name] = lowest[0]
    return bounds


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for name, version in lower_bounds(project).items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
