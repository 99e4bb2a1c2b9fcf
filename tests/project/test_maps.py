"""The docstring of a package is its map: it names every module and package inside."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "fastslow"
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py"))


def words(package: Path) -> set[str]:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return set(re.findall(r"\w+", docstring))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_a_package_names_everything_in_it(package: Path) -> None:
    parts = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    missing = {part for part in parts if not part.startswith("__")} - words(package)
    assert not missing, f"the docstring of {package.relative_to(ROOT.parent)} does not mention {sorted(missing)}"


def test_a_package_without_a_map_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text('"""Only `here`."""')
    assert words(tmp_path) == {"Only", "here"}
