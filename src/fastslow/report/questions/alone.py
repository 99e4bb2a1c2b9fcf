"""What did a single run learn? From the base under the plain prompt to what ships, with what the numbers rest on."""

from __future__ import annotations

from fastslow.core.measurement import CONTEXT_TITLES
from fastslow.report.pages import formats
from fastslow.report.questions.compare import Comparison
from fastslow.report.reading.data import RunData
from fastslow.report.reading.values import count


def only_run(comparison: Comparison) -> RunData | None:
    """Return the run of a comparison that is one run, measured at its end, and nothing beside it."""
    runs = comparison.all_runs
    if comparison.kind == "plasticity" or len(runs) != 1:
        return None
    return runs[0] if None not in ends(runs[0]) else None


def ends(run: RunData) -> tuple[float | None, float | None]:
    """Return the accuracy of the base under the plain prompt, and of the run as it ships."""
    return run.final("base_seed"), run.final(run.shipped_context)


def answer(run: RunData) -> str:
    """Return both ends, which claim nothing."""
    before, after = ends(run)
    return f"{formats.decimal(before)} to {formats.decimal(after)}"


def sentence(run: RunData, measure: str) -> str:
    """Say what went from where to where, how sure that is, and what one run does not tell."""
    before, after = ends(run)
    ships = CONTEXT_TITLES[run.shipped_context]
    said = (
        f"{measure[0].upper()}{measure[1:]} on {_questions(run)} went from {formats.decimal(before)}, the base under "
        f"the plain prompt, to {formats.decimal(after)} under the {ships}{_interval(run)}."
    )
    prompted, plain = run.final("base_lead"), run.final("seed")
    if run.channels.fast and run.channels.slow and None not in (prompted, plain):
        said += (
            f" The best prompt alone, without training: {formats.decimal(prompted)}; training alone, under the plain "
            f"prompt: {formats.decimal(plain)}."
        )
    return said + " One seed, and nothing beside it: whether both channels pay takes runs of the other modes."


def _questions(run: RunData) -> str:
    known = count(run.summary.get("validation_examples"))
    return "held-out questions" if not known else f"{known} held-out questions"


def _interval(run: RunData) -> str:
    """Return the interval over the questions of what ships, where one task has been measured."""
    rows = [one for one in run.evals if (one.weights, one.context) == ("trained", run.shipped_context)]
    if len(run.tasks) > 1 or not rows or rows[-1].low is None or rows[-1].high is None:
        return ""
    return f" (95% interval over the questions: {formats.decimal(rows[-1].low)} to {formats.decimal(rows[-1].high)})"
