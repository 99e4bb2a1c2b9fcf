"""Write the model card of an exported folder: what the model is, its lead context, and the verdict of the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from fastslow.core.errors import BadInput
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
DIGEST = re.compile(r"[0-9a-f]{64}")


def read_verdict(path: Path, digest: str) -> dict[str, Any]:
    """Read the verdict of a gate (JSON) on the bundle with this digest.

    Raises BadInput for a file that is no verdict, and for a verdict that does not name the bundle.
    """
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        status = verdict["status"]
        if not isinstance(status, str):
            raise TypeError("its status is not text")
    except OSError as error:
        raise BadInput(f"the verdict '{path}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"'{path}' is no verdict ({type(error).__name__}: {error}); give the file of fastslow gate --json."
        ) from error
    if digest not in _digests(verdict):
        raise BadInput(f"the verdict '{path}' does not name this bundle ({digest[:12]}); it judged another one.")
    return verdict


def write_card(folder: Path, release: Release, *, adapters: bool, verdict: Mapping[str, Any] | None) -> None:
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
        shown = {name: value for name, value in verdict.items() if name not in LONG}
        parts += [
            f"## Verdict of the release gate: {verdict['status']!s:.40}",
            _block(json.dumps(shown, indent=2, ensure_ascii=False), "json"),
        ]
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")
    content = str(card).encode("utf-8", "backslashreplace")
    (folder / "README.md").write_bytes(content)


LONG = ("lost", "answers", "questions", "samples")
"""Parts of a verdict with texts of single questions, which a card does not show."""


def _block(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _digests(value: Any) -> set[str]:
    """Return every SHA-256 that a value of JSON names, at any depth."""
    if isinstance(value, str):
        return {value} if DIGEST.fullmatch(value) else set()
    if isinstance(value, (list, dict)):
        return {one for item in (value.values() if isinstance(value, dict) else value) for one in _digests(item)}
    return set()
