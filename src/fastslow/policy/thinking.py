"""What a scorer reads of the answers of a model that thinks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastslow.core.thoughts import OPEN_AT_THE_END, answer_after, speaks_of_thoughts
from fastslow.policy.loading import control_tokens
from fastslow.policy.tool_calls import CallReader

LOOKED_AT = 16
"""Tokens at the end of a prompt in which its template may open thoughts."""

NO_END = "The thoughts had no end, so that there is no answer. "
"""What feedback begins with where an answer was cut while the model still thought."""


class AnswerReader:
    """Take the thoughts off completions.

    Args:
        tokenizer: that of the model, with its chat template.
        reasoning: 'strip'; 'keep' to leave completions as they are; 'auto' to strip where the template knows thoughts.
        tools: JSON schemas of what the model can call.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        reasoning: str,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ):
        self.strips = reasoning == "strip" or (
            reasoning == "auto" and speaks_of_thoughts(str(tokenizer.chat_template or ""))
        )
        self._tokenizer = tokenizer
        self._calls = CallReader(tokenizer, tools) if tools else None
        special = control_tokens(tokenizer)
        # Marks that are special tokens are not in a decoded text, e.g. those of Magistral and of GPT-OSS.
        self._special = special if any(map(speaks_of_thoughts, special)) or "<|channel|>" in special else []

    def answer(self, prompt_ids: Sequence[int], ids: Sequence[int], text: str) -> str | None:
        """Return what a scorer reads of a completion; None where its thoughts have no end.

        Args:
            prompt_ids: the prompt, whose end may open the thoughts.
            ids: the completion. `text`: as decoded without special tokens.
        """
        if not self.strips:
            return text
        opened = OPEN_AT_THE_END.search(self._whole_text(prompt_ids[-LOOKED_AT:])) is not None
        if not self._special:
            return answer_after(text, opened=opened)
        answer = answer_after(self._whole_text(ids), opened=opened)
        for token in self._special if answer is not None else ():
            answer = (answer or "").replace(token, "")
        return answer

    def turn(self, prompt_ids: Sequence[int], ids: Sequence[int], text: str) -> str | None:
        """Return what an environment hears of a turn: the answer, with calls of tools spelled as
        in `tasks.tools`."""
        answer = self.answer(prompt_ids, ids, text)
        return answer if answer is None or self._calls is None else self._calls.spelled(prompt_ids, ids, answer)

    def _whole_text(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, special ones included."""
        return str(self._tokenizer.decode(list(ids)))
