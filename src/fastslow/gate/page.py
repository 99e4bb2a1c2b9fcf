"""Show a verdict as one HTML page that opens offline, with the lost questions side by side.

Questions and answers are hostile text: `report.pages.safe` escapes every value, and the page runs no script at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from markupsafe import Markup

from fastslow.gate.terminal import headline, notes, numbers
from fastslow.gate.verdict import Check, Lost, Verdict
from fastslow.report.pages.safe import content_policy, template


def html(verdict: Verdict) -> bytes:
    """Return the page in UTF-8."""
    style = (files("fastslow.report.pages") / "assets" / "style.css").read_text(encoding="utf-8")
    source = (files("fastslow.gate") / "assets" / "verdict.html").read_text(encoding="utf-8")
    page = template(source).render(
        verdict=verdict,
        headline=headline(verdict),
        level=f"{100 * verdict.interval_level:g}",
        notes=notes(verdict),
        rows=[(check, numbers(check)) for check in verdict.checks],
        lost=lost_once(verdict.checks),
        style=Markup(style),
        policy=content_policy(),
    )
    return page.encode("utf-8")


def lost_once(checks: Sequence[Check]) -> list[tuple[Check, list[Lost], int]]:
    """Return each check that lost questions, with those that no check before it shows, and how many those show: two
    checks may ask one task, and two tasks one question."""
    shown: set[str] = set()
    rows = []
    for check in checks:
        above, fresh = frozenset(shown), []
        for lost in check.losses:
            if lost.question not in shown:
                shown.add(lost.question)
                fresh.append(lost)
        if check.losses:
            rows.append((check, fresh, len({lost.question for lost in check.losses} & above)))
    return rows
