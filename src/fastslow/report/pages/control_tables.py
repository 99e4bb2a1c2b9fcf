"""The table of the candidate against every control."""

from __future__ import annotations

from fastslow.report.pages import formats
from fastslow.report.pages.tables import Table
from fastslow.report.questions.compare import Comparison
from fastslow.report.questions.controls import candidate, channels_of, controls


def against(comparison: Comparison) -> Table | None:
    """Compare what the candidate is worth at the end with each control; None without a candidate or a control."""
    arm, found = candidate(comparison), controls(comparison)
    if arm is None or not found or comparison.kind == "plasticity":
        return None
    rows = [
        (
            one.name, formats.decimal(one.level), formats.difference(one.less),
            formats.NOTHING if one.rollouts is None else formats.times(one.rollouts),
        )
        for one in found
    ]  # fmt: skip
    head = ("control", f"its {comparison.measure}", f"{arm.label} less the control", f"rollouts, times {arm.label}'s")
    notes = [
        f"At the end, under the context that each ships; in brackets the 95% interval over seeds. "
        f"What {arm.label}'s base weights come to under its best prompt (lead) is what training the weights has to be "
        "better than."
    ]
    by_channel = channels_of(arm)
    if by_channel is not None:
        notes.append(
            f"Under its best prompt the trained weights add {formats.difference(by_channel.weights)} to the base's; "
            f"on the trained weights the contexts add {formats.difference(by_channel.contexts)} to the plain prompt's."
        )
    return Table(f"At the end: {arm.label} against every control", head, rows, notes)
