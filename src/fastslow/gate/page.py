"""Show a verdict as one HTML page that opens offline, with the lost questions side by side.

Questions and answers are hostile text: `report.pages.safe` escapes every value, and the page runs no script at all.
"""

from __future__ import annotations

from importlib.resources import files

from markupsafe import Markup

from fastslow.gate.terminal import headline, numbers
from fastslow.gate.verdict import Verdict
from fastslow.report.pages.safe import content_policy, template


def html(verdict: Verdict) -> bytes:
    """Return the page in UTF-8."""
    style = (files("fastslow.report.pages") / "assets" / "style.css").read_text(encoding="utf-8")
    source = (files("fastslow.gate") / "assets" / "verdict.html").read_text(encoding="utf-8")
    page = template(source).render(
        verdict=verdict,
        headline=headline(verdict),
        rows=[(check, numbers(check)) for check in verdict.checks],
        style=Markup(style),
        policy=content_policy(),
    )
    return page.encode("utf-8")
