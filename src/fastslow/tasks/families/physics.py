"""Make the paper's physics task: questions with four options from SciKnowEval, the letter in answer tags.

    physics                 the data set of the hub
    physics?path=FILE       a download of it, in its columns: question, choices {text, label}, answerKey, and where
                            they are there, domain, type and details {level}
    physics?path=sample     questions of our own, for machines without a network
    physics?level=L3        one of the data set's levels only

Rows of other domains and of other types are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.tasks.base import TASKS
from fastslow.tasks.damage import eaten_command
from fastslow.tasks.families import sources
from fastslow.tasks.families.rows import Columns, Row, RowsTask
from fastslow.tasks.samples import physics as physics_sample
from fastslow.tasks.scoring.choice import Choice
from fastslow.tasks.spec import format_spec

FAMILY = "physics"
HUB = "hicai-zju/SciKnowEval"
DOMAIN = "physics"
TYPE = "mcq-4-choices"
LETTERS = "ABCD"
LEVELS = ("L1", "L2", "L3", "L4", "L5")
INSTRUCTION = "Reply with the letter of the right option between <answer> and </answer>."
PARAMETERS = ("path", "config", "level")


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> RowsTask:
    """Make the task of `physics?params`. A data set is not drawn, so `data_seed` has no effect."""
    sources.check_params(params, PARAMETERS, rest, FAMILY)
    name, level = format_spec(FAMILY, params), params.get("level")
    if level is not None and level not in LEVELS:
        raise BadInput(f"task '{name}': there is no level '{level}'.{nearest(level, LEVELS)}")
    public = sources.load_public(
        name,
        params,
        hub=HUB,
        split="test",  # the data set has no other
        columns=("question", "choices", "answerKey"),
        sample=physics_sample.rows,
    )
    rows = sources.keep(public, name, partial(_row, level=level))
    scorer = Choice(LETTERS, tags_only=True)
    return RowsTask(name, FAMILY, rows, columns=Columns(id="", split=""), scorer=scorer, **sizes)


def describe() -> list[tuple[str, str]]:
    """Return name and one-line description."""
    return [(FAMILY, f"Physics with four options: {HUB}, ?path=FILE, or ?path=sample offline")]


def _row(row: Row, level: str | None) -> Row | str:
    """Convert one row of the data set, or return why it is left out."""
    if str(row.get("domain") or DOMAIN).lower() != DOMAIN:
        return "of another domain"
    if (row.get("type") or TYPE) != TYPE:
        return "of another type than four options"
    if level is not None and _part(row.get("details"), "level") != level:
        return "of another level"
    question, key = row["question"], row["answerKey"]
    labels, texts = _part(row["choices"], "label"), _part(row["choices"], "text")
    if not isinstance(question, str) or not question.strip():
        return "without a question"
    if not _four_texts(texts) or list(labels or LETTERS) != list(LETTERS):
        return "without four options A to D"
    if not isinstance(key, str) or key.strip() not in tuple(LETTERS):
        return "whose answerKey is none of the options"
    if any(map(eaten_command, [question, *texts])):
        return "with a control character where a command was meant"
    options = "\n".join(f"{letter}. {text.strip()}" for letter, text in zip(LETTERS, texts, strict=True))
    return {"question": f"{question.strip()}\n\n{options}\n\n{INSTRUCTION}", "answer": key.strip()}


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _four_texts(texts: Any) -> bool:
    return (
        isinstance(texts, list | tuple)
        and len(texts) == len(LETTERS)
        and all(isinstance(text, str) and text.strip() for text in texts)
        and len({text.strip() for text in texts}) == len(LETTERS)
    )
