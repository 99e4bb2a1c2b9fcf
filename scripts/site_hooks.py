"""Hooks of mkdocs (`make docs`): pages that are made, and links that lead out of docs/.

- The home page is README.md. reference/cli.md and reference/settings.md come from `scripts/reference.py`, and
  reference/python.md names what mkdocstrings shows.
- A link to another file of the repository leads to a page under repository/: a Markdown page as it is, anything else as
  a listing. So every link of a page works on a git host, on this site, and without a network.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MADE = ROOT / "build/reference"
OUTSIDE = "repository"
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
SCHEME = re.compile(r"[a-z]+:|#")
COMMENT = re.compile(r"^(<!-- .* -->)\n(?=\S)", re.MULTILINE)
MOST_LINES = 400  # of a listing
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".jsonl": "json"}

API = {
    "Training": ("fastslow.FastSlowConfig", "fastslow.train", "fastslow.FastSlowTrainer", "fastslow.open_contexts"),
    "Errors": ("fastslow.FastSlowError", "fastslow.BadInput"),
    "Words that travel": (
        *("fastslow.core.types.Example", "fastslow.core.types.Verdict", "fastslow.core.types.Rollout"),
        "fastslow.contexts.context.Context",
    ),
    "Parts of your own": (
        *("fastslow.tasks.base.Task", "fastslow.tasks.families.rows.RowsTask", "fastslow.tasks.scoring.base.Scorer"),
        *("fastslow.routers.base.Router", "fastslow.policy.engines.base.Engine"),
        "fastslow.fast.proposers.base.Proposer",
    ),
}
WHOLE = ("Training", "Errors")
"""Titles whose objects are shown without their members: settings have a page, and the trainer's are TRL's."""

_sources: dict[str, str] = {}  # page of the site -> its file in the repository, where the two differ


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made, and those outside of docs/ that any page links to."""
    from mkdocs.structure.files import File  # lives in .venv-docs

    made = {"reference/python.md": python_page(), "index.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for name in ("cli.md", "settings.md"):
        made[f"reference/{name}"] = (MADE / name).read_text(encoding="utf-8")
    _sources.update({name: f"docs/{name}" for name in made} | {"index.md": "README.md"})
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    left = [file.src_uri for file in files.documentation_pages()]
    while left:
        page = left.pop()
        for target in _linked(files.get_file_from_path(page).content_string, source_of(page)):
            uri = uri_of(target)
            if uri.startswith(OUTSIDE) and files.get_file_from_path(uri) is None:
                _sources[uri] = _file(target)
                files.append(File.generated(config, uri, content=outside(_file(target))))
                left.append(uri)
    return files


def on_config(config: Any) -> Any:
    """Give headings the anchors that a git host gives them, which the pages' links name."""
    config.mdx_configs["toc"]["slugify"] = lambda text, separator: re.sub(r"[^\w\- ]", "", text.lower()).replace(
        " ", separator
    )
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to where the site has their files, and keep HTML comments apart from what follows them."""
    uri = page.file.src_uri
    source = source_of(uri)

    def moved(found: re.Match[str]) -> str:
        name, hash_, anchor = found[0].partition("#")
        if SCHEME.match(found[0]) or not name:
            return found[0]
        target = posixpath.relpath(uri_of(_resolved(name, source)), posixpath.dirname(uri) or ".")
        return f"{target}{hash_}{anchor}"

    return COMMENT.sub(r"\1\n\n", LINK.sub(moved, markdown))


def python_page() -> str:
    """Return the page of the Python API, whose objects mkdocstrings reads from the sources without importing them."""
    parts = [
        "# Python API",
        "Made from the docstrings when this site is built. [From Python](../python-api.md) shows more.",
    ]
    for title, names in API.items():
        members = "" if title in WHOLE else "\n    options:\n      members: null"
        parts += [f"## {title}", *(f"::: {name}{members}" for name in names)]
    return "\n\n".join(parts) + "\n"


def source_of(uri: str) -> str:
    return _sources.get(uri, f"docs/{uri}")


def uri_of(path: str) -> str:
    """Return where the site has a file or folder of the repository."""
    if path == "README.md":
        return "index.md"
    path = _file(path)
    if (ROOT / path).is_dir():
        path = f"{path}/index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{OUTSIDE}/{path}" if path.endswith(".md") else f"{OUTSIDE}/{path}.md"


def outside(path: str) -> str:
    """Return the page for a file, or a folder without a README, outside of docs/."""
    whole = ROOT / path
    if whole.is_dir():
        names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in whole.iterdir())
        return f"{UNSEARCHED}# {path}\n\n" + "\n".join(
            f"- `{name}`" for name in names if not name.startswith((".", "_"))
        )
    text = whole.read_text(encoding="utf-8")
    if whole.suffix == ".md":
        return text
    if whole.suffix == ".ipynb":
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells)
    lines = text.splitlines()
    cut = f"\n\nThe first {MOST_LINES} of {len(lines)} lines." if len(lines) > MOST_LINES else ""
    shown = "\n".join(lines[:MOST_LINES])
    return f"{UNSEARCHED}# {path}\n\n````{LANGUAGES.get(whole.suffix, 'text')}\n{shown}\n````{cut}\n"


def _file(path: str) -> str:
    """Return the README of a folder that has one; anything else as it is."""
    return f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path


def _linked(markdown: str, source: str) -> list[str]:
    names = [link.partition("#")[0] for link in LINK.findall(markdown) if not SCHEME.match(link)]
    return [path for name in names if name and (ROOT / (path := _resolved(name, source))).exists()]


def _resolved(name: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
