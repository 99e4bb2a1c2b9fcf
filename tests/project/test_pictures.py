"""The README's picture says what results/reproduce holds, that of the layers what make check holds the code to."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import layers_picture  # noqa: E402
from readme_picture import picture  # noqa: E402

SHOWN = "docs/pictures/curves.svg"


@pytest.fixture(scope="module")
def drawn() -> str:
    return picture(ROOT / "results/reproduce/products_exact")


def test_the_picture_is_the_one_that_the_results_give(drawn: str) -> None:
    assert (ROOT / SHOWN).read_text(encoding="utf-8") == drawn, "make results draws it anew"


def test_the_text_beside_the_picture_has_its_numbers(drawn: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    instead = re.search(rf"!\[([^\]]*)\]\({SHOWN}\)", readme)
    label = re.search(r'aria-label="([^"]*)"', drawn)
    assert instead
    assert label
    assert sorted(re.findall(r"\d+%", instead[1])) == sorted(re.findall(r"\d+%", label[1]))


def test_the_picture_loads_nothing_and_has_colours_for_the_dark(drawn: str) -> None:
    assert not re.findall(r"(?:href|src)=|url\(|@import", drawn)
    assert "prefers-color-scheme: dark" in drawn
    assert 'class="ground"' in drawn


def test_the_picture_of_the_layers_is_that_of_the_contract() -> None:
    drawn = layers_picture.picture()
    again = "scripts/layers_picture.py docs/pictures/layers.svg draws it anew"
    assert (ROOT / "docs/pictures/layers.svg").read_text(encoding="utf-8") == drawn, again
    packages = {path.parent.name for path in (ROOT / "src/fastslow").glob("*/__init__.py")}
    assert set(re.findall(r"<text [^>]*>(\w+)</text>", drawn)) == packages
