"""From a context and a question to messages: each kind of component is one function, in the order of `KINDS`.

A new kind of textual fast weight is a component that `contexts.context.seed_context` starts, one function here, named
in `KINDS`, and a proposer that edits it. `instruction` becomes the system message, or is merged into the first user
turn where the chat template has no system role; `examples` becomes user and assistant turns before the question.
Rows of a soft context are not text: a stand-in takes their place, which whoever tokenises replaces by their ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context
from fastslow.contexts.soft import SOFT
from fastslow.core.errors import BadInput
from fastslow.core.texts import folded
from fastslow.core.types import Example, Message, conversation

Messages = list[dict[str, str]]

SYSTEM_ROLES = ("system", "developer")
"""Roles whose turn in front holds instructions: OpenAI's newer models call it developer."""


PLACEHOLDER = "{question}"
"""Where the question stands in messages that are shown before there is one."""


class Kind(Protocol):
    """What one component of a context does to the messages so far."""

    def __call__(self, messages: Messages, context: Context, example: Example, *, system_role: bool) -> Messages: ...


def render(context: Context, example: Example, *, system_role: bool = True) -> Messages:
    """Return the messages of `example` under `context`, ready for a chat template. Raises BadInput for a soft context,
    which is rendered by `render_soft`."""
    refuse_soft(context)
    messages = [dict(message) for message in example.messages]
    for kind in KINDS.values():
        messages = kind(messages, context, example, system_role=system_role)
    return messages


def refuse_soft(context: Context) -> None:
    """Raise BadInput for a soft context, where nothing but text can be used."""
    if context.soft is not None:
        raise BadInput(
            f"context {context.id} is soft: rows beside the model's embedding, which no text can say. Take a context "
            "of text ('fastslow contexts RUN' lists them), or measure it with fastslow eval."
        )


def render_soft(kind: str, example: Example, stand_in: str, *, system_role: bool = True) -> Messages:
    """Return the messages of `example` with a stand-in where the rows of a soft context belong: for `soft` where an
    instruction would be, for `soft_turn` at the beginning of the first turn that is none of a system."""
    messages = [dict(message) for message in example.messages]
    first = messages[0]
    in_system = kind == SOFT and (system_role or first["role"] == "system")
    if in_system and first["role"] != "system":
        return [{"role": "system", "content": stand_in}, *messages]
    turn = first if in_system else next((m for m in messages if m["role"] != "system"), first)
    turn["content"] = stand_in + turn["content"]
    return messages


def render_open(context: Context, *, system_role: bool = True) -> Messages:
    """Return the messages of any question under `context`: the last turn ends with `PLACEHOLDER`, and with nothing
    behind it. With a question, the worked example that is the question itself is left out (see `put_examples`)."""
    return render(context, question_alone(PLACEHOLDER), system_role=system_role)


def question_alone(question: str) -> Example:
    """Return an example of a question that comes from no task."""
    return Example("request", "", "test", ({"role": "user", "content": question},))


def as_text(context: Context) -> str:
    """Return a context as one would paste it before a question, which `PLACEHOLDER` stands for: the instruction, then
    the worked examples, with labels only where there are any, the last of them before the answer to come."""
    labels = {"user": "Question: ", "assistant": "Answer: "} if context.worked_examples else {}
    parts: list[str] = []
    for turn in render_open(context):
        between = "\n" if turn["role"] == "assistant" else "\n\n" if parts else ""
        parts.append(f"{between}{labels.get(turn['role'], '')}{turn['content']}")
    return "".join([*parts, "\nAnswer:"] if labels else parts)


def render_chat(context: Context, turns: Sequence[Message], *, system_role: bool = True) -> Messages:
    """Return a conversation that somebody else began, under `context`.

    For user turns alone this is what `render` returns. A system turn in front stays: the instruction comes before its
    text, and without a system role both go into the first turn. Every content is text. A soft context stands as the
    names of its rows, which mean something to the tokenizer of an exported folder alone.
    """
    if context.soft is not None:
        return _with_names(context, turns, system_role=system_role)
    messages = [dict(turn) for turn in turns]
    system = messages.pop(0) if messages and messages[0]["role"] in SYSTEM_ROLES else None
    example = Example("", "", "test", tuple(asked(messages)))
    for name, kind in KINDS.items():
        if name == INSTRUCTION and system is not None:
            in_front = {**system, "role": "system"}
            messages = (
                [in_front, *messages]
                if system_role or not messages
                else with_instruction(messages, system["content"], system_role=False)
            )
        messages = kind(messages, context, example, system_role=system_role)
    return messages


def _with_names(context: Context, turns: Sequence[Message], *, system_role: bool) -> Messages:
    """Put the names of a soft context's rows where `render_soft` puts its stand-in."""
    ((kind, rows),) = context.components.items()
    messages: Messages = [dict(turn) for turn in turns]
    system = messages.pop(0) if messages and messages[0]["role"] in SYSTEM_ROLES else None
    if kind != SOFT and messages:
        messages[0]["content"] = rows + (messages[0]["content"] or "")
    before = rows if kind == SOFT else ""
    if system is not None and (system_role or not messages):
        return [{**system, "role": "system", "content": before + system["content"]}, *messages]
    if before and system is None and system_role:
        return [{"role": "system", "content": before}, *messages]
    if system is not None and system["content"]:
        before += f"{system['content']}\n\n"
    if before and messages:
        messages[0]["content"] = before + (messages[0]["content"] or "")
    return messages


def asked(turns: Sequence[Message]) -> list[Message]:
    """Return the question of a conversation: the turns of the user before the first turn of anybody else, a system turn
    in front left aside. Later turns do not change the question."""
    turns = turns[1:] if turns and turns[0]["role"] in SYSTEM_ROLES else turns
    return list(itertools.takewhile(lambda turn: turn["role"] == "user", turns))


def question_of(turns: Sequence[Message]) -> str:
    """Return the text of that question; '' where a conversation begins with anybody else."""
    return conversation(asked(turns))


def put_examples(messages: Messages, context: Context, example: Example, *, system_role: bool) -> Messages:
    """Put the worked examples before the question, as user and assistant turns.

    A worked example with the question of `example` itself, in whatever case or spacing, is left out: a policy that is
    shown the answer earns a reward that says nothing about the context. The question of several turns is one turn here:
    turns of the user that follow each other would read as questions without an answer.
    """
    turns: Messages = []
    own = folded(example.question) if context.worked_examples else ""
    for worked in context.worked_examples:
        if folded(worked.question) == own:
            continue
        turns.append({"role": "user", "content": worked.question})
        turns.append({"role": "assistant", "content": worked.answer})
    return [*turns, *messages]


def put_instruction(messages: Messages, context: Context, example: Example, *, system_role: bool) -> Messages:
    """Put the instruction first (see `with_instruction`)."""
    return with_instruction(messages, context.components.get(INSTRUCTION, ""), system_role=system_role)


def with_instruction(turns: Sequence[Message], instruction: str, *, system_role: bool) -> Messages:
    """Put `instruction` first: as the system turn, or into it; without a system role, into the first user turn."""
    messages = [dict(turn) for turn in turns]
    if not instruction:
        return messages
    if messages[0]["role"] == "system" or not system_role:
        messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
        return messages
    return [{"role": "system", "content": instruction}, *messages]


KINDS: dict[str, Kind] = {EXAMPLES: put_examples, INSTRUCTION: put_instruction}
"""Name of a component -> what it does, in the order in which it is done."""
