"""Represent one fast weight: a context of named text components that are put before the question.

Two components are built in: `instruction`, and `examples`, worked examples as a JSON array of
`{"question": ..., "answer": ...}`. What a component does to the question's messages is in `rendering`. A soft context
has one component instead, which names rows beside the embedding (`soft`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastslow.contexts.soft import SOFT, SOFT_TURN, SoftText

INSTRUCTION = "instruction"
EXAMPLES = "examples"


@dataclass(frozen=True)
class WorkedExample:
    question: str
    answer: str


def dump_examples(examples: Sequence[WorkedExample]) -> str:
    """Return the `examples` component of these worked examples; '' for none."""
    if not examples:
        return ""
    return json.dumps([{"question": e.question, "answer": e.answer} for e in examples], ensure_ascii=False)


def load_examples(text: str) -> list[WorkedExample]:
    """Parse an `examples` component. Raises ValueError saying what is malformed: a model may have written the text."""
    if not text.strip():
        return []
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the examples component is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise ValueError("the examples component must be a JSON array")
    examples = []
    for i, row in enumerate(rows):
        if not (
            isinstance(row, dict)
            and set(row) == {"question", "answer"}
            and all(isinstance(v, str) for v in row.values())
        ):
            raise ValueError(f"item {i} of the examples component must be an object with text 'question' and 'answer'")
        examples.append(WorkedExample(row["question"], row["answer"]))
    return examples


@dataclass(frozen=True)
class Context:
    """Represent one member of the population. The id is a hash of the components: equal components have equal ids."""

    components: Mapping[str, str]
    parents: tuple[str, ...] = ()
    proposer: str = "seed"

    @cached_property
    def id(self) -> str:
        payload = json.dumps(sorted(self.components.items()), ensure_ascii=False)
        return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    @cached_property
    def worked_examples(self) -> tuple[WorkedExample, ...]:
        return tuple(load_examples(self.components.get(EXAMPLES, "")))

    @cached_property
    def soft(self) -> SoftText | None:
        """The rows of a soft context; None for one of text."""
        text = self.components.get(SOFT) or self.components.get(SOFT_TURN)
        return None if text is None else SoftText.parse(text)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "components": dict(self.components),
            "parents": list(self.parents),
            "proposer": self.proposer,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Context:
        components = dict(data["components"])
        if not all(isinstance(text, str) for text in components.values()):
            raise ValueError("a component must be text")
        context = cls(components, tuple(data["parents"]), data["proposer"])
        if context.soft is not None and len(components) > 1:
            raise ValueError("a soft context has no other component")
        return context


def soft_context(kind: str, rows: SoftText, parent: Context) -> Context:
    """Return the soft context that is born from `parent`; `kind` is `soft` or `soft_turn`."""
    return Context({kind: str(rows)}, parents=(parent.id,), proposer=SOFT)


def seed_context(instruction: str) -> Context:
    """Return the context that every population starts from: an instruction, possibly empty, and no worked examples."""
    return Context({INSTRUCTION: instruction, EXAMPLES: ""})
