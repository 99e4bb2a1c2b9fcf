"""Write the model card of an exported folder: what the model is, its default context, and the verdict of the gate."""

from __future__ import annotations

import json
import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from fastslow.core.errors import BadInput
from fastslow.export.choice import Selection
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT, NONE
from fastslow.gate.policy import parse_policy
from fastslow.gate.verdict import Verdict, read_verdict
from fastslow.topics.topics import CHOOSING

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def verdict_on(path: Path, digest: str) -> Verdict:
    """Read the verdict of a gate on the bundle with this digest.

    Raises BadInput for a file that is no verdict, and for a verdict on another candidate.
    """
    verdict = read_verdict(path)
    if verdict.candidate.digest != digest:
        raise BadInput(
            f"the verdict '{path}' is on another candidate ({verdict.candidate.digest[:12]}), and this bundle is "
            f"{digest[:12]}."
        )
    return verdict


def write_card(
    folder: Path, release: Release, selection: Selection, *, adapters: bool, verdict: Verdict | None
) -> None:
    """Write README.md. Texts of contexts and of the verdict stand in code blocks: models wrote them."""
    data = ModelCardData(
        library_name="peft" if adapters else "transformers",
        base_model=release.base_model if HUB_ID.fullmatch(release.base_model) else None,
        tags=["fastslow"],
        pipeline_tag="text-generation",
    )
    default, answers = selection.default, release.answers
    parts = [
        f"# {release.base_model.rpartition('/')[2]}, version {release.version}",
        f"Trained by fastslow from `{release.base_model}`: weights by reinforcement learning, contexts by evolution.",
        f"## Context\n\n{_choices(release, selection)}",
        f"The {selection.kind} is `{default.id}`:",
        _block(json.dumps(dict(default.components), indent=2, ensure_ascii=False), "json"),
        f"## Answers\n\nMeasured at temperature {answers['temperature']:g} and top-p {answers['top_p']:g}, with at "
        f"most {answers['max_new_tokens']:g} tokens; generation_config.json says the same.",
    ]
    if verdict is not None:
        parts += [_verdict(verdict, selection), *_asked(verdict, release)]
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
    content = str(card).encode("utf-8", "backslashreplace")
    (folder / "README.md").write_bytes(content)


def _choices(release: Release, selection: Selection) -> str:
    """Say which context a request gets, and which others it may name."""
    if not release.in_template:
        return f"The chat template is the model's own; the Modelfile holds the {selection.kind} context."
    others = len(selection.contexts) - 1
    more = f"another context of contexts.json, which holds {others + 1}, or `none`" if others else "`none`"
    return (
        f"The chat template puts the {selection.kind} context before every question. A request may name {more}, with "
        f'`chat_template_kwargs`: `{{"{ARGUMENT}": "{"ID" if others else NONE}"}}`.'
    )


def _verdict(verdict: Verdict, selection: Selection) -> str:
    released = (
        f"contexts chosen by the question ({verdict.contexts})"
        if verdict.contexts in CHOOSING
        else (f"the {verdict.contexts} context")
    )
    ships = (
        f"Not what is exported: {selection.difference}." if selection.difference else "The default here is the same."
    )
    rows = [
        f"| {check.kind} | {_cell(check.name)} | {check.state} | {_number(check.difference)} | {_number(check.low)} to "
        f"{_number(check.high)} | {_number(check.against)} | {check.n} |"
        for check in verdict.checks
    ]
    return "\n".join(
        [
            f"## Release gate: {verdict.state}\n",
            f"Against the bundle {verdict.baseline.digest[:12]}, each check at a false release rate of "
            f"{verdict.alpha:g}, with {verdict.looks} looks at most. What was gated: {released}. {ships}\n",
            "| check | of | state | difference | interval | against | questions |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _asked(verdict: Verdict, release: Release) -> list[str]:
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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"


def _block(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
