"""The table of a run on few labels: which one was taken for which."""

from __future__ import annotations

from fastslow.core.measurement import CONTEXT_TITLES
from fastslow.report.pages.tables import Table
from fastslow.report.questions.alone import only_run
from fastslow.report.questions.compare import Comparison
from fastslow.report.reading.values import count, mapping

MOST = 12
"""Labels, and so columns; a summary that a run wrote has no more."""


def taken_for(comparison: Comparison) -> Table | None:
    """Return how often each label was answered, by the right one; None unless this is one run on few labels."""
    run = only_run(comparison)
    told = mapping(mapping(run.summary.get("labels")).get("taken_for")) if run is not None else {}
    right = [label for label in list(told)[:MOST] if mapping(told[label])]
    if run is None or not right:
        return None
    rows = [
        (label[:500], *(str(count(mapping(told[label]).get(given)) or 0) for given in [*right, ""])) for label in right
    ]
    ships = CONTEXT_TITLES[run.shipped_context]
    notes = [f"Held-out questions by their right label, and what was answered under the {ships}; right ones lie on the "
             "diagonal."]  # fmt: skip
    return Table(
        "Which label was taken for which",
        ("right", *(f"answered {label[:500]}" for label in right), "answered anything else"),
        rows,
        notes,
    )
