"""The table of what each way to adapt a model takes: to train it, and in every request afterwards."""

from __future__ import annotations

from collections.abc import Callable

from fastslow.report.pages import formats
from fastslow.report.pages.tables import Table
from fastslow.report.questions.compare import Arm, Comparison, mean_or_none
from fastslow.report.reading.data import RunData
from fastslow.report.reading.values import mapping, number


def price(comparison: Comparison) -> Table | None:
    """Return the table, one row for each arm; None where runs of fewer than two arms say what they trained on."""
    told = [arm for arm in comparison.arms if all("trained" in run.summary for run in arm.runs)]
    if len(told) < 2 or comparison.kind == "plasticity":
        return None
    rows = [
        (
            arm.label,
            formats.whole(_mean(arm, lambda run: run.counts("rollouts").generated)),
            formats.whole(_mean(arm, lambda run: run.counts("tokens").generated)),
            formats.whole(_mean(arm, lambda run: _of(run, "trained", "rows"))),
            formats.whole(_mean(arm, lambda run: _of(run, "trained", "tokens"))),
            formats.seconds(_mean(arm, lambda run: _of(run, "wall_s", "total"))),
            formats.whole(_mean(arm, added_prompt_tokens)),
        )
        for arm in told
    ]  # fmt: skip
    head = (
        "arm", "rollouts made", "tokens generated", "rows trained on", "tokens trained on", "wall time",
        "prompt tokens added to a request",
    )  # fmt: skip
    notes = [
        "Means over seeds; of a run, without its evaluations but for wall time. Rows that had no gradient cost no "
        "forward, and do not count as trained on. An arm that learns from the data's answers makes no rollouts; one "
        "without contexts adds nothing to a request.",
    ]
    return Table("What each arm takes", head, rows, notes)


def added_prompt_tokens(run: RunData) -> float | None:
    """Return the tokens that what the run ships adds to a prompt, on average over validation questions."""
    shipped, seed = _of(run, "prompt_tokens", run.shipped_context), _of(run, "prompt_tokens", "seed")
    return None if shipped is None or seed is None else shipped - seed


def _of(run: RunData, group: str, name: str) -> float | None:
    return number(mapping(run.summary.get(group)).get(name))


def _mean(arm: Arm, value: Callable[[RunData], float | None]) -> float | None:
    return mean_or_none([value(run) for run in arm.runs])
