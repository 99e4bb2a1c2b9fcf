"""From messages to the text and the token ids that a model reads, through the chat template of its tokenizer.

A template is a program of the model's maker: it may refuse turns, need a keyword, leave out what it is given, or print
the date. `Chat` renders the same messages to the same ids at any time, and says in one line which row a template cannot
show.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
from transformers import PreTrainedTokenizerBase

from fastslow.contexts.rendering import Messages
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Message
from fastslow.policy.loading import control_tokens, has_system_role
from fastslow.policy.settings import TEMPLATE_DATE, moment_of
from fastslow.tasks.damage import encodes

PROBE = "fastslow-probe"
SPEAKERS = ("system", "developer", "user", "assistant")
"""Roles whose neighbouring turns are joined where a template wants roles to alternate."""

CONTINUED = ({"role": "user", "content": f"{PROBE}-1"}, {"role": "assistant", "content": f"{PROBE}-2"})


class Chat:
    """Render messages with one chat template, always at the same moment.

    Args:
        tokenizer: has the chat template.
        kwargs: further arguments of the template.
        date: what templates that print the date are told, in ISO form.
        ids_below: rows of the model's embedding; None where no model is at hand.

    Raises BadInput at construction for a template that cannot show a single question.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        kwargs: Mapping[str, Any] | None = None,
        date: str = TEMPLATE_DATE,
        ids_below: int | None = None,
    ):
        self._tokenizer, self._kwargs, self._ids_below = tokenizer, dict(kwargs or {}), ids_below
        if "strftime_now" in str(tokenizer.chat_template):
            # An argument hides transformers' function of the same name, which asks the clock.
            self._kwargs.setdefault("strftime_now", moment_of(date).strftime)
        self._marks = [token for token in control_tokens(tokenizer) if len(token) > 1]
        self.system_role = has_system_role(tokenizer, **self._kwargs)
        self._render([{"role": "user", "content": PROBE}], "a single question")

    def text(self, messages: Sequence[Message], whose: str) -> str:
        """Return the rendering that leaves the model the next to speak.

        A template may want roles to alternate: where it refuses the messages as they are, or leaves a turn out,
        neighbouring turns of one role are merged. Raises BadInput naming `whose` messages it refuses, or leaves out.
        """
        return self._render(messages, whose)

    def ids(self, messages: Sequence[Message], whose: str) -> tuple[int, ...]:
        """Return the token ids of `text`. Raises BadInput also for an id that the model's embedding has no row for."""
        ids = self._tokens(self._render(messages, whose), whose)
        if not ids:
            raise BadInput(f"the model's chat template renders nothing that has tokens for {whose}.")
        return ids

    def around(self, messages: Sequence[Message], stand_in: str, whose: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the token ids before and after `stand_in`, which some message holds in place of what is no text.
        Raises BadInput as `ids` does, and for a template that does not show it once."""
        text = self._render(messages, whose)
        if text.count(stand_in) != 1:
            raise BadInput(
                f"the model's chat template shows the place of a soft context {text.count(stand_in)} times for "
                f"{whose}, and it must do so once; take fast_weights text."
            )
        before, _, after = text.partition(stand_in)
        return self._tokens(before, whose), self._tokens(after, whose)

    def after_answer(self, reply: str, *, role: str = "user", ended_with: int | None = None) -> tuple[int, ...]:
        """Return the token ids that follow an answer of the model where a user replies to it, or with `role` a tool, up
        to where the model speaks again.

        An end token that the answer `ended_with` is not put there again. Marks of turns in the reply are spelled with a
        space, so that they end no turn: an environment may repeat what the model said. Raises BadInput where the
        template does not show the answer once.
        """
        for token in self._marks:
            reply = reply.replace(token, f"{token[0]} {token[1:]}")
        answer = next(word for i in itertools.count() if (word := f"{PROBE}-{i}-stands-here") not in reply)
        turns = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": answer}]
        text = self._render([*turns, {"role": role, "content": reply}], "an environment's reply")
        if text.count(answer) != 1:
            raise BadInput(
                f"the model's chat template shows an earlier answer {text.count(answer)} times, and an environment "
                "needs it once; take a model whose template shows it."
            )
        after = text.partition(answer)[2]
        end = None if ended_with is None else str(self._tokenizer.convert_ids_to_tokens(ended_with))
        if end is not None and after.lstrip().startswith(end):
            after = after.lstrip().removeprefix(end)
        return self._tokens(after, "an environment's reply")

    def _tokens(self, text: str, whose: str) -> tuple[int, ...]:
        ids: Any = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        if ids and self._ids_below is not None and max(ids) >= self._ids_below:
            token = self._tokenizer.convert_ids_to_tokens(max(ids))
            raise BadInput(
                f"the prompt of {whose} has the token '{token}' ({max(ids)}), and the model's embedding has "
                f"{self._ids_below} rows; give the tokenizer that belongs to the model, or resize its embedding."
            )
        return tuple(ids)

    @property
    def may_pass_the_end(self) -> bool:
        """Whether the tokenizer has ids that the model's embedding has no row for."""
        return self._ids_below is not None and len(self._tokenizer) > self._ids_below

    def shows_worked_examples(self) -> bool:
        """Return whether the template shows an earlier question and its answer before the question."""
        try:
            text = self._rendered([*map(dict, CONTINUED), {"role": "user", "content": f"{PROBE}-3"}])
        except Exception:  # a template refuses turns by any exception that jinja lets through
            return False
        return all(f"{PROBE}-{i}" in text for i in (1, 2, 3))

    def _render(self, messages: Sequence[Message], whose: str) -> str:
        turns = [dict(turn) for turn in messages]
        problem: BadInput | None = None
        for arranged in (turns, merged(turns)):
            try:
                text = self._rendered(arranged)
            except Exception as error:  # a template may raise anything that Python does
                problem = problem or BadInput(f"the model's chat template {refusal(error)} This was for {whose}.")
                problem.__cause__ = problem.__cause__ or error
                continue
            if not encodes(text):
                raise BadInput(
                    f"the model's chat template renders half a surrogate pair for {whose}, which is no text; mend the "
                    "template, or take another model."
                )
            hidden = self._hidden(arranged, text)
            if hidden is None:
                return text
            problem = problem or BadInput(
                f"the model's chat template leaves out the {hidden} turn of {whose}; take a model whose template shows "
                "it, or change the row."
            )
        assert problem is not None
        raise problem

    def _hidden(self, turns: Messages, text: str) -> str | None:
        """Return the role of a question, instruction or result that changes nothing in the text, or None."""
        for i, turn in enumerate(turns):
            content = turn["content"]
            if turn["role"] not in ("user", "system", "tool") or not content.strip() or content.strip() in text:
                continue
            # A template may rewrite what it shows, so that only another content tells.
            others = [*turns[:i], {**turn, "content": f"Other than {PROBE}."}, *turns[i + 1 :]]
            with suppress(Exception):  # a template that refuses the other content reads it
                if self._rendered(others) == text:
                    return turn["role"]
        return None

    def _rendered(self, turns: Messages) -> str:
        with _dice_aside():
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, **self._kwargs
            )
        return str(text)


def refusal(error: Exception) -> str:
    """Say in a sentence or two why a template failed, and what may help."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
    if isinstance(error, TemplateSyntaxError):
        return f"has a syntax error in line {error.lineno}: {said}."
    if isinstance(error, UndefinedError):
        return f"needs something it is not given: {said}; --chat_template_kwargs may give it."
    if isinstance(error, TemplateError):
        return f"refuses the turns: {said}."
    return f"fails with {type(error).__name__}: {said}."


def merged(turns: Messages) -> Messages:
    """Join neighbouring turns of one speaker, with an empty line between them. Calls of tools and their results stay
    apart: each result answers a call of its own."""
    joined: Messages = []
    for turn in turns:
        if joined and _joins(joined[-1], turn):
            joined[-1] = {**joined[-1], "content": f"{joined[-1]['content']}\n\n{turn['content']}"}
        else:
            joined.append(dict(turn))
    return joined


def _joins(before: Message, turn: Message) -> bool:
    """Return whether a turn goes on with what the turn before says."""
    texts = all(isinstance(one.get("content"), str) and not one.get("tool_calls") for one in (before, turn))
    return texts and before["role"] == turn["role"] and turn["role"] in SPEAKERS


def named(example: Example) -> str:
    """Return how a message names an example: by its row where it comes from data, else by its id; and its first
    words."""
    first = " ".join(example.messages[0]["content"].split())
    return f"{example.where}, {first if len(first) <= 40 else first[:40] + '...'!r}"


@contextmanager
def _dice_aside() -> Iterator[None]:
    """Give a template that draws at random the same draws each time, and everybody else theirs."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)
