"""The site: every page has its place, the reference is that of the code, and nothing is loaded from elsewhere.

`make docs` builds it and checks links and anchors; this is what can be said without mkdocs, in a moment.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from fastslow.cli.main import COMMANDS
from fastslow.config.groups import SPECS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import reference  # noqa: E402
import site_hooks  # noqa: E402

SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MADE = {"index.md": "README.md", "reference/cli.md": "", "reference/settings.md": "", "reference/python.md": ""}


def pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for part in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from pages(part)


def test_every_page_stands_in_the_navigation_once() -> None:
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = list(pages(SITE["nav"]))
    outside = [page for page in named if page.startswith(f"{site_hooks.OUTSIDE}/")]
    assert sorted(set(named) - set(outside)) == sorted(docs | set(MADE))
    assert len(named) == len(set(named))
    files = [ROOT / page.removeprefix(f"{site_hooks.OUTSIDE}/") for page in outside]
    assert not [file for file in files if not (file.is_file() or file.with_suffix("").is_file())]
    assert [next(iter(part)) for part in SITE["nav"]] == ["Tutorial", "How-to", "Reference", "Explanation", "Decisions"]


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert "offline" in SITE["plugins"]
    loaded = [*SITE["extra"]["polyfills"], *SITE["extra_css"]]
    assert not [path for path in loaded if not (ROOT / "docs" / path).is_file()]
    css = (ROOT / "docs/assets/site.css").read_text(encoding="utf-8")
    assert not re.findall(r"url\(|@import|https?:", css)
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    assert not [text for text in texts if "```mermaid" in text], "the theme would take mermaid from a CDN"
    assert not [found for text in texts for found in re.findall(r"!\[[^\]]*\]\(https?:", text)]


def test_the_reference_of_the_command_line_has_every_command_and_flag() -> None:
    page = reference.commands()
    assert re.findall(r"^## fastslow (\S+)$", page, re.MULTILINE) == list(COMMANDS)
    for part in ("### fastslow tasks new", "| `--from DATA` |", "### fastslow registry promote", "| `--dry_run` |"):
        assert part in page
    assert "%(" not in page


def test_the_reference_of_the_settings_has_every_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| .+ \|$", reference.settings(), re.MULTILINE)
    assert [name for name, _ in rows] == list(SPECS)
    assert dict(rows)["population_size"] == "`4`"


@pytest.mark.parametrize("name", [name for names in site_hooks.API.values() for name in names])
def test_what_the_reference_of_python_names_has_a_docstring(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__doc__


@pytest.mark.parametrize(
    ("page", "link", "target"),
    [
        ("tasks.md", "scorers.md#number", "scorers.md#number"),
        ("tasks.md", "../examples/custom_task", "repository/examples/custom_task/README.md"),
        ("routing.md", "../src/fastslow/routers/base.py", "repository/src/fastslow/routers/base.py.md"),
        ("decisions/0009-engines-over-http.md", "../engines.md", "../engines.md"),
        ("index.md", "docs/decisions", "decisions/README.md"),
        ("index.md", "docs/pictures/curves.svg", "pictures/curves.svg"),
        ("index.md", "LICENSE", "repository/LICENSE.md"),
        ("tasks.md", "#splits", "#splits"),
        ("tasks.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_lead_to_where_the_site_has_a_file(page: str, link: str, target: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(site_hooks._sources, "index.md", "README.md")
    found = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert site_hooks.on_page_markdown(f"See [it]({link}).", found) == f"See [it]({target})."
