"""Write the default context of an exported folder as a Modelfile, which Ollama builds a model from."""

from __future__ import annotations

from pathlib import Path

from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context
from fastslow.core.errors import BadInput
from fastslow.export.release import Release

MODELFILE = "Modelfile"


def write_modelfile(folder: Path, release: Release, default: Context) -> None:
    """Write the Modelfile: FROM this folder, SYSTEM the instruction, MESSAGE each turn of a worked example, PARAMETER
    how answers are sampled.

    Ollama renders by its own copy of the model's template, so that token ids cannot be compared here. Raises BadInput
    for a text that a Modelfile cannot hold.
    """
    answers = release.answers
    others = sorted(set(default.components) - {INSTRUCTION, EXAMPLES})
    if others:
        raise BadInput(f"context {default.id} has the component '{others[0]}', which a Modelfile cannot hold.")
    lines = ["FROM ."]
    if default.components.get(INSTRUCTION):
        lines.append(f"SYSTEM {_quoted(default.components[INSTRUCTION], default)}")
    for worked in default.worked_examples:
        lines.append(f"MESSAGE user {_quoted(worked.question, default)}")
        lines.append(f"MESSAGE assistant {_quoted(worked.answer, default)}")
    lines += [
        f"PARAMETER temperature {answers['temperature']:g}",
        f"PARAMETER top_p {answers['top_p']:g}",
        "PARAMETER top_k 0",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_predict {answers['max_new_tokens']:g}",
    ]
    (folder / MODELFILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str, context: Context) -> str:
    """Quote a text as Modelfiles do: three quotes around it, and no escape for three quotes inside."""
    if '"""' in text or "\0" in text:
        raise BadInput(
            f"context {context.id} holds three quotes in a row or a zero byte, which a Modelfile cannot hold; "
            "export it with --format hf."
        )
    return f'"""{text}"""'
