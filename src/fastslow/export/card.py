"""Write the model card of an exported folder: what the model is, how often it is right, and what nobody tested.

`origin` says how it was made, `figures` what was measured. What no file says is left out.
"""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from fastslow.core.errors import BadInput
from fastslow.export.choice import Selection
from fastslow.export.figures import gate_section, held_out, limits, own_section
from fastslow.export.markdown import block
from fastslow.export.origin import Origin, data, making, title
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT, NONE
from fastslow.gate.verdict import Verdict, read_verdict


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
    folder: Path, release: Release, selection: Selection, origin: Origin, *, adapters: bool, verdict: Verdict | None
) -> None:
    """Write README.md. Texts of contexts and of the verdict stand as code: models wrote them."""
    header = ModelCardData(
        library_name="peft" if adapters else "transformers",
        base_model=origin.hub_id,
        license=origin.licence,
        tags=["fastslow"],
        pipeline_tag="text-generation",
    )
    measured = (
        own_section(origin, release, selection)
        if verdict is None
        else gate_section(verdict, release, selection, origin)
    )
    parts = [
        title(origin, release.version),
        making(origin, plain=selection.default == release.seed),
        f"## Task and data\n\n{data(origin)}",
        *([held_out(verdict)] if verdict is not None and verdict.questions else []),
        measured,
        f"## Limits\n\n{limits(verdict)}",
        f"## Context\n\n{_choices(release, selection)}",
        f"The {selection.kind} is `{selection.default.id}`:",
        block(json.dumps(dict(selection.default.components), indent=2, ensure_ascii=False), "json"),
        f"## Answers\n\n{_answers(release, origin)}",
    ]
    card = ModelCard(f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
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


def _answers(release: Release, origin: Origin) -> str:
    """Say how a server samples answers, and that the run was measured so only where it was measured."""
    answers = release.answers
    how = (
        f"at temperature {answers['temperature']:g} and top-p {answers['top_p']:g}, with at most "
        f"{answers['max_new_tokens']:g} tokens"
    )
    if origin.measured:
        return f"The run measured answers {how}; generation_config.json says the same."
    return f"generation_config.json has answers sampled {how}."
