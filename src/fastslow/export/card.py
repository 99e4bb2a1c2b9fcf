"""Write the model card of an exported folder: what the model is, its lead context, and the verdict of the gate."""

from __future__ import annotations

import json
import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from fastslow.core.errors import BadInput
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT
from fastslow.gate.verdict import Verdict, read_verdict

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


def write_card(folder: Path, release: Release, *, adapters: bool, verdict: Verdict | None) -> None:
    """Write README.md. Texts of contexts and of the verdict stand in code blocks: models wrote them."""
    data = ModelCardData(
        library_name="peft" if adapters else "transformers",
        base_model=release.base_model if HUB_ID.fullmatch(release.base_model) else None,
        tags=["fastslow"],
        pipeline_tag="text-generation",
    )
    population, answers = release.population, release.answers
    choices = (
        f"The chat template puts the lead context before every question. A request may name another of the "
        f"{len(population.known)} contexts of contexts.json, or `none`, with `chat_template_kwargs`: "
        f'`{{"{ARGUMENT}": "ID"}}`.'
        if release.in_template
        else "The chat template is the model's own; the Modelfile holds the lead context."
    )
    parts = [
        f"# {release.base_model.rpartition('/')[2]}, version {release.version}",
        f"Trained by fastslow from `{release.base_model}`: weights by reinforcement learning, contexts by evolution.",
        f"## Context\n\n{choices} The lead is `{population.lead.id}`:",
        _block(json.dumps(dict(population.lead.components), indent=2, ensure_ascii=False), "json"),
        f"## Answers\n\nMeasured at temperature {answers['temperature']:g} and top-p {answers['top_p']:g}, with at "
        f"most {answers['max_new_tokens']:g} tokens; generation_config.json says the same.",
    ]
    if verdict is not None:
        parts.append(_verdict(verdict))
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
    content = str(card).encode("utf-8", "backslashreplace")
    (folder / "README.md").write_bytes(content)


def _verdict(verdict: Verdict) -> str:
    rows = [
        f"| {check.kind} | {_cell(check.name)} | {check.state} | {_number(check.difference)} | {_number(check.low)} to "
        f"{_number(check.high)} | {_number(check.against)} | {check.n} |"
        for check in verdict.checks
    ]
    return "\n".join(
        [
            f"## Release gate: {verdict.state}\n",
            f"Against the bundle {verdict.baseline.digest[:12]}, each check at a false release rate of "
            f"{verdict.alpha:g}, with {verdict.looks} looks at most.\n",
            "| check | of | state | difference | interval | against | questions |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"


def _block(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
