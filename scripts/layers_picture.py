"""Draw the packages in their layers from pyproject.toml: `layers_picture.py docs/pictures/layers.svg`.

The layers are those of import-linter's contract, which `make check` holds the code to; what each package is for is the
first sentence of its docstring.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH, ROW, GAP, EDGE = 760, 40, 8, 20
STYLE = """
  svg { color-scheme: light dark; } .ground { fill: #ffffff; stroke: #dcdfe3; } .box { fill: #e1eef7; stroke: #0072b2; }
  text { fill: #16191d; font: 15px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  text-anchor: middle; } .dim { fill: #555d67; font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Arial,
  sans-serif; text-anchor: start; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14171b; stroke: #343a42; } .box { fill: #14293a; stroke: #56b4e9; } text { fill: #e9ebee; }
    .dim { fill: #a3abb5; }
  }
"""


def layers() -> list[list[str]]:
    """Return the packages of each layer, the top one first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    return [layer.split(" | ") for layer in next(c for c in contracts if c["type"] == "layers")["layers"]]


def picture() -> str:
    """Return the SVG: a row for each layer, a box for each package."""
    rows = layers()
    height = EDGE * 2 + len(rows) * (ROW + GAP) + 16
    parts = [f'<text class="dim" x="{EDGE}" y="30">a package imports only what stands below it</text>']
    for row, packages in enumerate(rows):
        y = EDGE + 24 + row * (ROW + GAP)
        width = (WIDTH - 2 * EDGE - GAP * (len(packages) - 1)) / len(packages)
        for column, package in enumerate(packages):
            x = EDGE + column * (width + GAP)
            parts.append(
                f'<rect class="box" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" rx="6">'
                f"<title>{escape(purpose(package))}</title></rect>"
                f'<text x="{x + width / 2:.1f}" y="{y + 26}">{package}</text>'
            )
    label = "The layers, top first: " + "; ".join(", ".join(packages) for packages in rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def purpose(package: str) -> str:
    """Return the first line of a package's docstring."""
    source = (ROOT / "src/fastslow" / package / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(picture(), encoding="utf-8")
