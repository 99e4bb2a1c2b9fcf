"""The documentation names what exists: files, links, commands, modules, settings of the Makefile."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from fastslow.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import mutations  # noqa: E402

README = ROOT / "README.md"
PAGES = sorted(
    [
        README,
        *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
    ]
)
MODULES = sorted(path.relative_to(ROOT / "src/fastslow").as_posix() for path in (ROOT / "src/fastslow").rglob("*.py"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w/.-])(?:src|tests|scripts|docs|examples|recipes|results|\.github|\.ci)/[\w./-]*[\w/]")
MODULE = re.compile(r"`(?!\w+\.md)((?:[a-z_]+/)*[a-z_]+\.py)`")
NAME = re.compile(r"\bfastslow(?:\.[A-Za-z_]\w*)+")
COMMAND = re.compile(r"(?:^ +|`|\b-m )fastslow ([a-z][a-z-]*)\b", re.MULTILINE)
TARGET = re.compile(r"(?:^ +|`)make ([a-z-]+)", re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(text_of(README).splitlines()) <= 120, "what explains more belongs on a page in docs/"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = text_of(page)
    # A folder that a reader makes stands behind a program's option or is written in capitals, and is none of these.
    paths = {path.rstrip("./") for path in PATH.findall(text)} - {"results/my-comparison"}
    missing = [path for path in paths if not list(ROOT.glob(path))]
    modules = [
        name
        for name in MODULE.findall(text)
        if not name.startswith(("tests/", "scripts/", "src/"))
        and not any(module == name or module.endswith(f"/{name}") for module in MODULES)
        and not list(page.parent.glob(name))
    ]
    assert not missing + modules


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "CHANGELOG.md"],  # which names what is gone
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_name_of_the_package_can_be_imported(page: Path) -> None:
    def exists(dotted: str) -> bool:
        module, _, attribute = dotted.rpartition(".")
        try:
            importlib.import_module(dotted)
        except ImportError:
            return exists_in(module, attribute)
        return True

    def exists_in(module: str, attribute: str) -> bool:
        try:
            return hasattr(importlib.import_module(module), attribute)
        except ImportError:
            return False

    names = {name for name in NAME.findall(text_of(page)) if not name.endswith((".py", ".git"))}
    assert not [name for name in names if not exists(name)]
    imports = re.findall(r"^from (fastslow[\w.]*) import (.+)$", text_of(page), re.MULTILINE)
    assert not [(m, n) for m, names in imports for n in names.split(", ") if not exists_in(m, n)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_every_target_exists(page: Path) -> None:
    text = text_of(page)
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert not set(COMMAND.findall(text)) - set(COMMANDS)
    assert not set(TARGET.findall(text)) - targets


def test_nobody_is_told_to_install_what_is_on_no_index() -> None:
    """fastslow is installed from a clone: `pip install '.[extra]'`, in messages by `core.extras`."""
    others = [*(ROOT / "src").rglob("*.py"), *(ROOT / "recipes").rglob("*.yaml"), ROOT / "Makefile"]
    wrong = re.compile(r"pip install (?:-\S+ (?:\S+ )?)*'?fastslow\b")
    assert not [f"{path.relative_to(ROOT)}" for path in (*PAGES, *others) if wrong.search(text_of(path))]
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    named = {extra for page in PAGES for extra in re.findall(r"'\.\[(\w+)\]'", text_of(page))}
    asked = {e for path in others for e in re.findall(r"how_to_install\('(\w+)'\)", text_of(path))}
    assert named | asked <= set(extras)
    assert {"trackers", "serve"} <= named
    assert {"serve", "s3"} <= asked


def test_every_command_has_its_line() -> None:
    page = text_of(ROOT / "docs/commands.md")
    assert not [command for command in COMMANDS if f"| `fastslow {command}" not in page]


def test_the_table_of_removed_guards_says_what_make_mutations_removes() -> None:
    section = text_of(ROOT / "docs/promises.md").partition("### Guards removed")[2].partition("\n## ")[0]
    rows = {mutation.guard: row(mutation) for mutation in mutations.MUTATIONS}
    for line in re.findall(r"^\| .* \|$", section, re.MULTILINE)[1:]:
        guard = line.split(" | ")[1]
        assert guard in rows, f"make mutations removes no guard called '{guard}'"
        assert line == rows[guard]


def row(mutation: mutations.Mutation) -> str:
    noticed = mutation.tests[0].removeprefix("tests/")
    return f"| {mutation.proves} | {mutation.guard} | `{mutation.file}` | `{noticed}` |"
