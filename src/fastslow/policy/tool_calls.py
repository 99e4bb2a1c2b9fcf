"""Tools in a model's own format: shown by its chat template, and calls read as its family writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import add_response_schema, parse_response

from fastslow.core.errors import BadInput
from fastslow.policy.chat import PROBE, Chat
from fastslow.tasks.tools import CALL, CALL_END, calls_in


class CallReader:
    """Spell the calls in a model's turns in one way, that of `tasks.tools`, whatever its family writes.

    Which families are read is TRL's knowledge, by their chat templates; turns of others stay as they are.

    Args:
        tokenizer: that of the model, with its chat template.
        tools: JSON schemas of what can be called.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]]):
        self._tools: list[Any] = [dict(tool) for tool in tools]
        self._tokenizer: Any = None
        with suppress(ValueError):  # a template that TRL does not know
            self._tokenizer = add_response_schema(copy.copy(tokenizer))  # a copy: its mark is not to be saved with ours

    def spelled(self, prompt_ids: Sequence[int], ids: Sequence[int], text: str) -> str:
        """Return the text of a turn with its calls; as it is where it has none, or spells them so already."""
        if self._tokenizer is None or any(call.startswith("{") for call in calls_in(text)):
            return text
        turn = parse_response(self._tokenizer, list(ids), prefix=list(prompt_ids), tools=self._tools)
        called = [call["function"] for call in turn.get("tool_calls") or ()]
        if not called:
            return text
        calls = [
            json.dumps({"name": one["name"], "arguments": one.get("arguments") or {}}, ensure_ascii=False)
            for one in called
        ]
        return "\n".join([turn.get("content") or "", *(CALL + call + CALL_END for call in calls)]).strip()


def with_tools(
    tokenizer: PreTrainedTokenizerBase, kwargs: Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]], date: str
) -> dict[str, Any]:
    """Return the chat template's arguments with a task's tools among them; arguments that name tools stay.

    Raises BadInput for a template that does not show them.
    """
    own = dict(kwargs or {})
    if not tools or "tools" in own:
        return own
    asked = [{"role": "user", "content": PROBE}]
    shown = {**own, "tools": [dict(tool) for tool in tools]}
    before, after = (Chat(tokenizer, kwargs=given, date=date).text(asked, "tools") for given in (own, shown))
    if before == after:
        raise BadInput(
            "the model's chat template shows no tools, and the task has some; describe them in the questions "
            "(EnvironmentTask(..., in_question=True)), or take a model whose template knows tools."
        )
    return shown
