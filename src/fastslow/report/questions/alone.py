"""What did a single run learn? From the base under the plain prompt to what ships, with what the numbers rest on."""

from __future__ import annotations

from fastslow.core.measurement import CONTEXT_TITLES, OFTEN, is_clear_of_base, others_are_better
from fastslow.report.pages import formats
from fastslow.report.questions.compare import Comparison
from fastslow.report.reading.data import RunData
from fastslow.report.reading.values import count, mapping, number, text


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
    """Return both ends, which claim nothing, and what one label for all comes to where the end is not clear of that."""
    before, after = ends(run)
    said = f"{formats.decimal(before)} to {formats.decimal(after)}"
    one = _one_answer(run)
    if one is None:
        return said
    low = _bounds(run)[0]
    surely = after if low is None else low
    if surely is None or surely > one:
        return said
    return f"{said}; always the same label: {formats.decimal(one)}"


def sentence(run: RunData, measure: str) -> str:
    """Say what went from where to where, how sure that is, and what one run does not tell."""
    before, after = ends(run)
    ships = CONTEXT_TITLES[run.shipped_context]
    said = (
        f"{measure[0].upper()}{measure[1:]} on {_questions(run)} went from {formats.decimal(before)}, the base under "
        f"the plain prompt, to {formats.decimal(after)} under the {ships}{_interval(run)}."
    )
    if begun_from := text(run.config.get("from_bundle"), ""):
        said += f" The run began with the bundle {begun_from!r}: what that one had learned is a part of this."
    said += _label_sentence(run)
    prompted, plain = run.final("base_lead"), run.final("seed")
    if run.channels.fast and run.channels.slow and None not in (prompted, plain):
        said += (
            f" The best prompt alone, without training: {formats.decimal(prompted)}; training alone, under the plain "
            f"prompt: {formats.decimal(plain)}."
        )
    return (
        said
        + _advice(run)
        + " One seed, and nothing beside it: whether both channels pay takes runs of the other modes."
    )


def _advice(run: RunData) -> str:
    """Say where to look on where what ships is not clear of the base, or is below the run's other prompts."""
    accuracy = {name: run.final(name) for name in ("base_seed", "base_lead", "mean")}
    _, after = ends(run)
    said = ""
    if others_are_better(accuracy, after):
        said += (
            f" The mean over the run's prompts is {formats.decimal(accuracy['mean'])}, so that another one answered "
            "better: fastslow eval RUN --contexts all measures each."
        )
    if not is_clear_of_base(accuracy, after, _bounds(run)[0], slow=run.channels.slow):
        said += " That is not clearly above the base's best; what to try: docs/tasks.md, 'It did not learn: what now?'."
    return said


def _questions(run: RunData) -> str:
    known = count(run.summary.get("validation_examples"))
    return "held-out questions" if not known else f"{known} held-out questions"


def _one_answer(run: RunData) -> float | None:
    """Return what one answer to everything would be right on, of a task whose right answers are few labels."""
    return number(mapping(run.summary.get("labels")).get("commonest_share"))


def _label_sentence(run: RunData) -> str:
    labels, one = mapping(run.summary.get("labels")), _one_answer(run)
    if one is None:
        return ""
    said = f" Always answering '{text(labels.get('commonest'), 'unknown')}' would be right on {formats.decimal(one)}"
    share = number(labels.get("answered_share"))
    if share is None or share < OFTEN:
        return said + "."
    return f"{said}; what ships answers '{text(labels.get('answered'), 'unknown')}' to {share:.0%} of them."


def _bounds(run: RunData) -> tuple[float | None, float | None]:
    """Return the interval over the questions of what ships, where one task has been measured."""
    rows = [one for one in run.evals if (one.weights, one.context) == ("trained", run.shipped_context)]
    return (None, None) if len(run.tasks) > 1 or not rows else (rows[-1].low, rows[-1].high)


def _interval(run: RunData) -> str:
    low, high = _bounds(run)
    if low is None or high is None:
        return ""
    return f" (95% interval over the questions: {formats.decimal(low)} to {formats.decimal(high)})"
