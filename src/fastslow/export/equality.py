"""Refuse a chat template that gives other token ids than our own rendering, before anything is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat
from fastslow.core.errors import BadInput, in_one_line
from fastslow.core.types import Message
from fastslow.export.template import ARGUMENT, LEAD, NONE
from fastslow.policy.chat import Chat

Turn = dict[str, Any]
"""A message as a client sends it: its content may be a list of parts, and an assistant may call tools."""

LEAST = 20
"""Fewest conversations that a template is compared on, each under every context."""

QUESTIONS = (
    "What is 17 + 25?", "Write a haiku about rain.", "  Mind the spaces  ", "A line\nand another\r\n\tand a tab",
    "Braces: {{ 7 * 7 }} {% set x = 1 %} {# gone? #}",
    "Quotes: 'one' \"two\" `three` \\n \\u0041", "<|im_end|>\n<s>[INST]",
    "Emoji 🙂👩‍👩‍👧, accents é é, 日本語, ‏עברית", "A separator\u2028and\u2029another\u0085, and\x0ba tab of old",
    "$x^2$ & <b>bold</b> &amp; %20", "0", "?", "none", "lead",
)  # fmt: skip
"""Texts that templates have stumbled over: tags of their own, quotes, escapes, separators, special tokens."""


TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add two numbers.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        },
    },
)
"""What a client may offer: some tokenizers have a template of their own for requests with tools."""

MOMENTS = (datetime(1987, 3, 14, 5, 17, 26, 358979), datetime(2031, 11, 27, 22, 48, 53, 141592))
"""Two days that no format shows alike: a template that still reads the clock differs from our rendering on one."""


def conversations(contexts: Sequence[Context], questions: Sequence[str] = ()) -> list[list[Turn]]:
    """Return at least `LEAST` conversations: single questions, also those of worked examples, chats of several turns
    with and without a system turn, and those of `SHAPES`."""
    worked = [one.question for context in contexts for one in context.worked_examples[:2]]
    singles = list(dict.fromkeys([*QUESTIONS, *worked[:20], *questions[:20]]))
    chats = [[_turn("user", text)] for text in singles if text.strip()]
    for text in singles[:6]:
        asked, more = _turn("user", text), [_turn("assistant", "An answer."), _turn("user", "And then?")]
        chats += [[_turn("system", "Answer briefly."), asked], [asked, *more]]
    return [*chats, *_shapes([text for text in worked if text.strip()][:1])]


def _shapes(worked: Sequence[str]) -> list[list[Turn]]:
    """Return conversations of every form that a server may be sent. `worked` is the question of a worked example,
    which is left out where the turns of the user before the first answer ask it, in whatever number of turns."""
    ask, more, answer = _turn("user", "What is 17 + 25?"), _turn("user", "And 30 + 4?"), _turn("assistant", "It is 42.")
    brief, polite = _turn("system", "Answer briefly."), _turn("system", "Be polite.")
    parts = [{"type": "text", "text": "What is 17"}, {"type": "text", "text": "+ 25?"}]
    call = {"id": "callabcde", "type": "function", "function": {"name": "add", "arguments": {"a": 17, "b": 25}}}
    calls: Turn = {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "callfghij"}]}
    results = [{**_turn("tool", text), "name": "add", "tool_call_id": id} for text, id in (("42", "callabcde"),
               ("The sum is 42.", "callfghij"))]  # fmt: skip
    return [
        [ask, more], [brief, ask, more], [ask, answer, more, ask], [ask, answer, answer, more], [brief, polite, ask],
        *([_turn("user", part) for part in text.split(maxsplit=1)] for text in worked),
        *([_turn("user", text), answer, more] for text in worked), *([_turn("user", text), more] for text in worked),
        [ask, answer], [brief, ask, answer], [answer, ask], [brief], [ask, polite, more],
        [_turn("user", "")], [_turn("system", ""), ask], [ask, _turn("assistant", ""), more], [_turn("user", ""), ask],
        [_turn("developer", "Answer briefly."), ask], [_turn("user", parts)], [_turn("system", parts), ask],
        [ask, answer, _turn("user", parts), more],
        [ask, calls, *results], [brief, ask, calls, *results, answer, more], [ask, more, calls, *results, answer, more],
        [ask, {**calls, "content": None}, *results], [ask, {**calls, "tool_calls": [call]}, results[0]],
    ]  # fmt: skip


def check_equal(
    shipped: PreTrainedTokenizerBase,
    chat: Chat,
    contexts: Sequence[Context],
    lead: Context,
    chats: Sequence[Sequence[Turn]],
    *,
    default: Context | None = None,
    with_tools: Chat | None = None,
) -> int:
    """Render every conversation under every context, and without one, both ways; return how many were compared.

    Args:
        shipped: the tokenizer with the template that is shipped.
        chat: our own rendering.
        contexts: those of the template.
        lead: the context that the template calls the lead.
        chats: the conversations.
        default: the context of a request that names none; None: the lead.
        with_tools: our own rendering where `TOOLS` are offered; None where the template cannot show them.

    Raises BadInput for the first difference, and where fewer than `LEAST` conversations can be rendered at all.
    """
    named: list[tuple[dict[str, Any], Context | None]] = [({ARGUMENT: one.id}, one) for one in contexts]
    choices = [
        ({}, default or lead),
        *([({ARGUMENT: LEAD}, lead)] if lead in contexts else []),
        *named,
        ({ARGUMENT: NONE}, None),
    ]
    compared = sum(_compared(shipped, chat, turns, choices, number) for number, turns in enumerate(chats, start=1))
    if compared < LEAST:
        raise BadInput(f"the model's chat template renders {compared} of {len(chats) * len(choices)} conversations.")
    if with_tools is not None:
        # The header does not read them: the first and the last choice show whether each template has one.
        offered = [({**arguments, "tools": list(TOOLS)}, context) for arguments, context in (choices[0], choices[-1])]
        for number, turns in enumerate(chats, start=1):
            if len(turns) > 1 or number == 1:
                compared += _compared(shipped, with_tools, turns, offered, number)
    return compared


def _compared(
    shipped: PreTrainedTokenizerBase,
    chat: Chat,
    turns: Sequence[Turn],
    choices: Sequence[tuple[dict[str, Any], Context | None]],
    number: int,
) -> int:
    """Compare one conversation under each choice; return how many of them our rendering shows at all."""
    compared = 0
    for arguments, context in choices:
        texts = [{**turn, "content": as_text(turn["content"])} for turn in turns]
        messages = texts if context is None else render_chat(context, texts, system_role=chat.system_role)
        ours = _ours(chat, messages)
        if ours is not None:
            for moment in MOMENTS if "strftime_now" in str(shipped.chat_template) else (None,):
                clock = {} if moment is None else {"strftime_now": moment.strftime}
                _compare(shipped, turns, {**arguments, **clock}, ours, number)
            compared += 1
    return compared


def as_text(content: Any) -> Any:
    """Return the parts of a content as one text, joined by line ends as the proxy joins them; others as they are."""
    return "\n".join(part["text"] for part in content) if isinstance(content, list) else content


def _ours(chat: Chat, messages: Sequence[Message]) -> tuple[int, ...] | None:
    try:
        return chat.ids(messages, "a question of the check")
    except BadInput:  # the model's template refuses such a conversation, and the server will say so too
        return None


def _compare(
    shipped: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    arguments: dict[str, Any],
    ours: tuple[int, ...],
    number: int,
) -> None:
    under = arguments.get(ARGUMENT, "the default")
    try:
        theirs: Any = shipped.apply_chat_template(
            [dict(turn) for turn in turns], add_generation_prompt=True, return_dict=False, **arguments
        )
    except Exception as error:  # a template may raise anything that Python does
        raise BadInput(
            f"the chat template with contexts fails under {under} on conversation {number} of the check: "
            f"{in_one_line(error)}. Nothing was exported."
        ) from error
    if tuple(theirs) != ours:
        place = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), None)
        at = f"differs from token {place + 1} on" if place is not None else f"has {len(theirs)} tokens for {len(ours)}"
        raise BadInput(
            f"the chat template with contexts {at} from the rendering of the run, under {under} on conversation "
            f"{number} of the check. Nothing was exported; fastslow serve with --upstream needs no template."
        )


def _turn(role: str, content: Any) -> Turn:
    return {"role": role, "content": content}
