"""Represent one fast weight: a context of named text components that are put before the question.

Two components are built in. `instruction` becomes the system message, or is merged into the first user turn where the
chat template has no system role. `examples` holds worked examples as a JSON array of `{"question": ..., "answer": ...}`
and becomes user and assistant turns before the question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastslow.core.types import Example, Message

INSTRUCTION = "instruction"
EXAMPLES = "examples"
COMPONENTS = (INSTRUCTION, EXAMPLES)


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

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "components": dict(self.components),
            "parents": list(self.parents),
            "proposer": self.proposer,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Context:
        return cls(dict(data["components"]), tuple(data["parents"]), data["proposer"])


def seed_context(instruction: str) -> Context:
    """Return the context that every population starts from: an instruction, possibly empty, and no worked examples."""
    return Context({INSTRUCTION: instruction, EXAMPLES: ""})


def render(context: Context, example: Example, *, system_role: bool = True) -> list[dict[str, str]]:
    """Return the messages of `example` under `context`, ready for a chat template.

    A worked example with the question of `example` itself is left out: a policy that is shown the answer earns a reward
    that says nothing about the context.
    """
    turns: list[dict[str, str]] = []
    for worked in context.worked_examples:
        if worked.question.strip() == example.question.strip():
            continue
        turns.append({"role": "user", "content": worked.question})
        turns.append({"role": "assistant", "content": worked.answer})
    turns.extend(dict(message) for message in example.messages)
    return with_instruction(turns, context.components.get(INSTRUCTION, ""), system_role=system_role)


def with_instruction(turns: Sequence[Message], instruction: str, *, system_role: bool) -> list[dict[str, str]]:
    """Put `instruction` first: as the system turn, or into it; without a system role, into the first user turn."""
    messages = [dict(turn) for turn in turns]
    if not instruction:
        return messages
    if messages[0]["role"] == "system" or not system_role:
        messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
        return messages
    return [{"role": "system", "content": instruction}, *messages]
