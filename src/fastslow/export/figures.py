"""Say in a model card how often the model is right: the verdict of the gate, or what the run itself measured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fastslow.bundles.released import ALIASES, NAME
from fastslow.core.errors import BadInput
from fastslow.export.choice import Selection
from fastslow.export.markdown import cell, code, task_without_folders
from fastslow.export.origin import Origin
from fastslow.export.release import Release
from fastslow.gate.policy import parse_policy
from fastslow.gate.sides import BASE
from fastslow.gate.terminal import notes, numbers
from fastslow.gate.verdict import KL, LATENCY, NEUTRAL_KL, PROMPT_TOKENS, Check, Verdict
from fastslow.topics.topics import CHOOSING

PAIRED = ("gain", "retain", "samples")
"""Kinds of checks whose figures are shares of right answers."""

KINDS = {
    "gain": "has to be better than the baseline: the whole interval has to lie above the limit",
    "retain": "may be a little worse than the baseline: the whole interval has to lie above the limit",
    "samples": "the same as retain, on answers that another program asked for and scored",
    "prose": "bits per byte of ordinary text, lower is better: the whole interval has to lie below the limit",
    "limit": "a figure that may be at most its limit, compared as it was measured",
}

UNITS = {KL: " nats per token", NEUTRAL_KL: " nats per token", PROMPT_TOKENS: " tokens"}

FORMAT = (
    "An answer counts as right only where it has the form that the task's scorer reads: accuracy includes the format "
    "of the answers."
)


def gate_section(verdict: Verdict, release: Release, selection: Selection, origin: Origin) -> str:
    """Return the section on the release gate."""
    released = (
        f"contexts chosen by the question ({verdict.contexts})"
        if verdict.contexts in CHOOSING
        else f"the {verdict.contexts} context"
    )
    ships = (
        f"Not what is exported: {selection.difference}." if selection.difference else "The default here is the same."
    )
    looks = "one look" if verdict.looks == 1 else f"at most {verdict.looks} looks"
    parts = [
        f"## Release gate: {verdict.state}",
        f"{_measured(verdict)} against the baseline, {_baseline(verdict, release, origin)}{_itself(verdict)}; both "
        f"answered the same questions. What was gated: {released}. {ships}",
        _table(verdict),
        f"The interval is the range in which the true difference lies with {100 * verdict.interval_level:g}% "
        f"confidence. Each check with an interval passes a model that it should not with a chance of at "
        f"most {100 * verdict.alpha:g}%, over {looks} at the answers.",
        _legend(verdict),
        *_findings(verdict),
        *_asked_otherwise(verdict, release),
    ]
    return "\n\n".join(parts)


def held_out(verdict: Verdict) -> str:
    """Say which questions the gate asked; '' where it asked none itself."""
    lines = [
        f"- {one.n} of {code(task_without_folders(one.task))}"
        + (", made by its generator for the gate" if one.seed is not None else "")
        for one in verdict.questions
    ]
    if not lines:
        return ""
    said = (
        "The gate asked held-out questions, on which neither this run nor the baseline's, if it had one, was trained "
        "or selected:"
    )
    return "\n".join([said, "", *lines])


def own_section(origin: Origin, release: Release, selection: Selection) -> str:
    """Return the section on accuracy of a version without a verdict."""
    said = "No release gate measured this version: no figure on held-out questions is recorded."
    same = release.seed is not None and selection.default.id == release.seed.id
    kinds = (selection.kind, "seed") if same else (selection.kind,)
    found = next((origin.accuracy[kind] for kind in kinds if kind in origin.accuracy), None)
    if found is not None:
        base = origin.accuracy.get("base_seed")
        before = "" if base is None else f"; that of the base model under {_start(release)} was {base:.1%}"
        said += (
            f" At the end of the run the mean score on its validation questions was {found:.1%}, under the "
            f"{selection.kind} context{before}. A run may select by these questions."
        )
    if selection.difference:
        said += f"\n\nNote: {selection.difference}."
    return f"## Accuracy\n\n{said}"


def limits(verdict: Verdict | None) -> str:
    """Say what nobody tested."""
    other = "any other task" if verdict is None else "any task that is not in the table"
    return f"- Not tested: {other}, and safety: whether answers do harm, or can be made to.\n- {FORMAT}"


def _measured(verdict: Verdict) -> str:
    try:
        return f"Measured on {datetime.fromisoformat(verdict.made).date().isoformat()}"
    except ValueError:
        return "Measured"


def _baseline(verdict: Verdict, release: Release, origin: Origin) -> str:
    """Say what the candidate was compared with, without the way to it on this machine."""
    model = verdict.baseline
    digest = model.digest[:12]
    if model.weights == BASE:
        return f"the base model {code(origin.base)} under {_start(release)}"
    folder, at, version = model.name.rpartition("@")
    registry, number = code(Path(folder).name), NAME.fullmatch(version)
    if at and (number or version.isdecimal()):
        return f"version {int(number[1] if number else version)} of the registry {registry} ({digest})"
    if at and version in ALIASES:
        return f"at that time the {version} of the registry {registry} (version {digest})"
    path = Path(model.name)
    return f"the bundle {code((path.parent if path.name == 'bundle' else path).name)} ({digest})"


def _itself(verdict: Verdict) -> str:
    """Say where a version was compared with itself: a difference of 0 then says nothing."""
    same = verdict.baseline.digest == verdict.candidate.digest
    return ", which is this very version (its contexts may differ)" if same else ""


def _start(release: Release) -> str:
    """Name the seed context, under which a base model is asked."""
    seed = release.seed
    plain = seed is not None and not any(text.strip() for text in seed.components.values())
    return "the plain prompt (no instruction, no worked examples)" if plain else "the prompt that the run began with"


def _table(verdict: Verdict) -> str:
    heads = (
        "check", "of", "result", "this model", "baseline", "difference",
        f"{100 * verdict.interval_level:g}% interval", "limit of the difference", "questions",
    )  # fmt: skip
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*rows, *("| " + " | ".join(_row(check)) + " |" for check in verdict.checks)])


def _legend(verdict: Verdict) -> str:
    """Say what the checks in the table ask for."""
    kinds = {check.kind for check in verdict.checks}
    lines = [f"- {kind}: {words}." for kind, words in KINDS.items() if kind in kinds]
    if any(check.name in (KL, NEUTRAL_KL) for check in verdict.checks):
        lines.append("- KL: how far the probabilities that the model gives to words are from those of its base model.")
    return "\n".join(lines)


def _row(check: Check) -> list[str]:
    candidate, baseline, difference, interval, limit = numbers(check)
    if check.kind in PAIRED:
        difference, interval, limit = (text and f"{text} points" for text in (difference, interval, limit))
    elif check.kind == "prose" or check.name == LATENCY:  # a share of the baseline's
        difference, limit = _percent(check.difference), _percent(check.against)
        interval = "" if check.low is None else f"{_percent(check.low)} to {_percent(check.high)}"
    else:
        difference, limit = (text and text.lstrip("+") + UNITS.get(check.name, "") for text in (difference, limit))
    number = "" if not check.n else f"{check.n} pieces of text" if check.kind == "prose" else str(check.n)
    name = cell(task_without_folders(check.name))
    return [check.kind, name, check.state, candidate, baseline, difference, interval, limit, number]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.3g}%"


def _findings(verdict: Verdict) -> Iterator[str]:
    """Yield why checks did not pass, and the notes of the gate, as lists."""
    unmet = [check for check in verdict.checks if check.state != "pass"]
    names = [task_without_folders(check.name) for check in unmet]
    if unmet:
        said = [f"- {code(f'{c.kind} {name}')}: {code(c.reason)}" for c, name in zip(unmet, names, strict=True)]
        yield "\n".join(["Checks that did not pass:", "", *said])
    if notes(verdict):
        yield "\n".join(
            ["Notes of the gate:", "", *(f"- {code(_without_folders(n, verdict))}" for n in notes(verdict))]
        )


def _without_folders(note: str, verdict: Verdict) -> str:
    """Return a note in which no task's name has the way to its file on this machine."""
    for name in [*(one.task for one in verdict.questions), *(check.name for check in verdict.checks)]:
        note = note.replace(name, task_without_folders(name)) if name else note
    return note


def _asked_otherwise(verdict: Verdict, release: Release) -> list[str]:
    """Say how the gate had answers sampled, where the folder samples otherwise: it was gated on other answers."""
    try:
        rules = parse_policy(verdict.policy.encode(), "the policy").rules
    except BadInput:  # of a later version: what can be read of the verdict stands above
        return []
    gated, here = (rules.temperature, rules.top_p), (release.answers["temperature"], release.answers["top_p"])
    if gated == here:
        return []
    return [
        f"The gate asked at temperature {gated[0]:g} and top-p {gated[1]:g}; generation_config.json says {here[0]:g} "
        f"and {here[1]:g}, and a request may say so itself."
    ]
