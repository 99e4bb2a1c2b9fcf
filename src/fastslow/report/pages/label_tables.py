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
    ships, questions = CONTEXT_TITLES[run.shipped_context], count(run.summary.get("validation_examples"))
    answers = sum(int(number) for row in rows for number in row[1:])
    of = f" to {questions} held-out questions" if questions else ""
    notes = [f"{answers} answers{of} under the {ships}, by the label that is right and the one that was given; right "
             "answers lie on the diagonal."]  # fmt: skip
    return Table(
        "Which label was taken for which",
        ("right", *(f"answered {label[:500]}" for label in right), "answered anything else"),
        rows,
        notes,
    )
