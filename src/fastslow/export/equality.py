"""Refuse a chat template that gives other token ids than our own rendering, before anything is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat
from fastslow.core.errors import BadInput, in_one_line
from fastslow.core.types import Message
from fastslow.export.template import ARGUMENT, NONE
from fastslow.policy.chat import Chat

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


def conversations(contexts: Sequence[Context], questions: Sequence[str] = ()) -> list[list[dict[str, str]]]:
    """Return at least `LEAST` conversations: single questions, also those of worked examples, and chats of several
    turns with and without a system turn."""
    worked = [one.question for context in contexts for one in context.worked_examples[:2]]
    singles = list(dict.fromkeys([*QUESTIONS, *worked[:20], *questions[:20]]))
    chats = [[_turn("user", text)] for text in singles if text.strip()]
    for text in singles[:6]:
        asked, more = _turn("user", text), [_turn("assistant", "An answer."), _turn("user", "And then?")]
        chats += [[_turn("system", "Answer briefly."), asked], [asked, *more]]
    return chats


def check_equal(
    shipped: PreTrainedTokenizerBase,
    chat: Chat,
    contexts: Sequence[Context],
    lead: Context,
    chats: Sequence[Sequence[Message]],
) -> int:
    """Render every conversation under every context, and without one, both ways; return how many were compared.

    `shipped` is the tokenizer with the template that is shipped, `chat` our own rendering. Raises BadInput for the
    first difference, and where fewer than `LEAST` conversations can be rendered at all.
    """
    compared = 0
    choices = [({}, lead), *(({ARGUMENT: context.id}, context) for context in contexts), ({ARGUMENT: NONE}, None)]
    for number, turns in enumerate(chats):
        for arguments, context in choices:
            messages = turns if context is None else render_chat(context, turns, system_role=chat.system_role)
            ours = _ours(chat, messages)
            if ours is not None:
                _compare(shipped, turns, arguments, ours, number)
                compared += 1
    if compared < LEAST:
        raise BadInput(f"the model's chat template renders {compared} of {len(chats) * len(choices)} conversations.")
    return compared


def _ours(chat: Chat, messages: Sequence[Message]) -> tuple[int, ...] | None:
    try:
        return chat.ids(messages, "a question of the check")
    except BadInput:  # the model's template refuses such a conversation, and the server will say so too
        return None


def _compare(
    shipped: PreTrainedTokenizerBase,
    turns: Sequence[Message],
    arguments: dict[str, Any],
    ours: tuple[int, ...],
    number: int,
) -> None:
    under = arguments.get(ARGUMENT, "the lead")
    try:
        theirs: Any = shipped.apply_chat_template(
            [dict(turn) for turn in turns], add_generation_prompt=True, return_dict=False, **arguments
        )
    except Exception as error:  # a template may raise anything that Python does
        raise BadInput(
            f"the chat template with contexts fails under {under} on conversation {number + 1} of the check: "
            f"{in_one_line(error)}. Nothing was exported."
        ) from error
    if tuple(theirs) != ours:
        place = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), None)
        at = f"differs from token {place + 1} on" if place is not None else f"has {len(theirs)} tokens for {len(ours)}"
        raise BadInput(
            f"the chat template with contexts {at} from the rendering of the run, under {under} on conversation "
            f"{number + 1} of the check. Nothing was exported; fastslow serve with --upstream needs no template."
        )


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
