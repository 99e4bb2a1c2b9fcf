"""Draw the README's picture from committed results: `readme_picture.py results/reproduce/products_exact TARGET.svg`.

One curve for each way of training (mean over seeds, shaded from the lowest to the highest seed) and two numbers. The
SVG has a ground of its own and colours for light and dark, so it is readable wherever it is shown; it loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import mean

from fastslow.report.questions.compare import Arm, compare
from fastslow.report.reading.sources import load_sources

NAMES = {
    "fst": "both channels",
    "prompt_rl": "prompts, then RL",
    "rl": "weights only (RL)",
    "prompt": "prompts only",
}
WIDTH, HEIGHT = 760, 540
LEFT, RIGHT, TOP, BOTTOM = 62, 560, 170, 480
APART = 24  # pixels between the names beside the curves
STYLE = """
  svg { color-scheme: light dark; }
  .ground { fill: #ffffff; stroke: #dcdfe3; } text { fill: #16191d; font: 17px system-ui, -apple-system, "Segoe UI",
  "DejaVu Sans", Arial, sans-serif; } .dim { fill: #555d67; font-size: 15px; } .figure { font-size: 44px;
  font-weight: 700; } .grid { stroke: #dcdfe3; } .line { fill: none; stroke-width: 3.5; stroke-linejoin: round; }
  .band { opacity: .13; stroke: none; }
  .fst { stroke: #0072b2; fill: #0072b2; } .prompt_rl { stroke: #007a5a; fill: #007a5a; stroke-dasharray: 9 5; }
  .rl { stroke: #c24e00; fill: #c24e00; } .prompt { stroke: #a04a7c; fill: #a04a7c; stroke-dasharray: 2 5; }
  path.line { fill: none; } text.name { stroke: none; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14171b; stroke: #343a42; } text { fill: #e9ebee; } .dim { fill: #a3abb5; }
    .grid { stroke: #343a42; } .fst { stroke: #56b4e9; fill: #56b4e9; } .prompt_rl { stroke: #2fc29a; fill: #2fc29a; }
    .rl { stroke: #f08a4b; fill: #f08a4b; } .prompt { stroke: #d78db5; fill: #d78db5; }
  }
"""


def picture(results: Path) -> str:
    """Return the SVG for the comparison in this folder."""
    comparison = compare(load_sources([results])[0])[0]
    arms = {arm.label: arm for arm in comparison.arms if arm.label in NAMES}
    arms = {label: arms[label] for label in reversed(NAMES)}  # the one that is looked for lies on top
    last = max(step for arm in arms.values() for curve in arm.curves() for step in curve.steps)

    def at(step: float, share: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * step / last:.1f},{BOTTOM - (BOTTOM - TOP) * share:.1f}"

    parts = [_figures(arms["fst"], arms["rl"], last), _axes(last)]
    ends = {}
    for label, arm in arms.items():
        curves = arm.curves()
        steps = curves[0].steps
        if any(curve.steps != steps for curve in curves):
            raise SystemExit(f"the seeds of {label} were not measured at the same steps")
        by_step = list(zip(*(curve.y for curve in curves), strict=True))
        ends[label] = mean(by_step[-1])
        edge = [at(s, max(y)) for s, y in zip(steps, by_step, strict=True)]
        edge += [at(s, min(y)) for s, y in reversed(list(zip(steps, by_step, strict=True)))]
        parts.append(f'<polygon class="band {label}" points="{" ".join(edge)}"/>')
        line = " ".join(at(s, mean(y)) for s, y in zip(steps, by_step, strict=True))
        parts.append(f'<polyline class="line {label}" points="{line}" style="fill: none"/>')
    parts += _names(ends)
    title = f"Share of held-out answers that are right, by optimiser steps: {_said(ends)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<style>{STYLE}</style><rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _figures(ours: Arm, plain: Arm, last: int) -> str:
    """The two numbers: what is right at the end, and the drift at like accuracy."""
    ends = [[curve.y[-1] for curve in arm.curves()] for arm in (ours, plain)]
    drift = ours.drift
    if drift is None or drift.low is None or drift.high is None:
        raise SystemExit("these runs share no accuracy at which to compare their drift")
    right = (
        f"right after {last} steps (seeds {_range(ends[0])})",
        f"plain RL: {mean(ends[1]):.0%} ({_range(ends[1])})",
    )
    moved = ("of plain RL's drift from the base", f"at equal accuracy (95%: {drift.low:.0%} to {drift.high:.0%})")
    return _figure(28, f"{mean(ends[0]):.0%}", right) + _figure(WIDTH // 2 + 40, f"{drift.share:.0%}", moved)


def _figure(x: int, number: str, lines: Sequence[str]) -> str:
    shown = "".join(f'<text x="{x}" y="{88 + 21 * i}" class="dim">{line}</text>' for i, line in enumerate(lines))
    return f'<text x="{x}" y="60" class="figure">{number}</text>{shown}'


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.0%} to {max(values):.0%}"


def _axes(last: int) -> str:
    lines = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = BOTTOM - (BOTTOM - TOP) * share
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
        lines.append(f'<text class="dim" x="{LEFT - 8}" y="{y + 5}" text-anchor="end">{share:.0%}</text>')
    for step in range(0, last + 1, 10):
        x = LEFT + (RIGHT - LEFT) * step / last
        lines.append(f'<text class="dim" x="{x}" y="{BOTTOM + 24}" text-anchor="middle">{step}</text>')
    lines.append(
        f'<text class="dim" x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 48}" text-anchor="middle">optimiser steps</text>'
    )
    lines.append(f'<text class="dim" x="28" y="{TOP - 20}">held-out answers that are right, mean of three seeds</text>')
    return "\n".join(lines)


def _names(ends: dict[str, float]) -> list[str]:
    """The names at the ends of their curves, pushed apart where two curves end close together."""
    placed, lowest = [], float("inf")
    for label, share in sorted(ends.items(), key=lambda end: end[1]):
        lowest = min(BOTTOM - (BOTTOM - TOP) * share + 6, lowest - APART)
        placed.append(f'<text class="name {label}" x="{RIGHT + 12}" y="{lowest:.1f}">{NAMES[label]}</text>')
    return placed


def _said(ends: dict[str, float]) -> str:
    return ", ".join(f"{NAMES[label]} {share:.0%}" for label, share in sorted(ends.items(), key=lambda end: -end[1]))


def main(results: str, target: str) -> None:
    Path(target).write_text(picture(Path(results)), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
