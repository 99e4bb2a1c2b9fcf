"""Keep the answers that a stream has shown so far, and put those of the most similar questions before a new one.

This is retrieval-augmented generation over the task's own data: nothing learns, and what is retrieved becomes worked
examples in front of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastslow.contexts.context import EXAMPLES, Context, WorkedExample, dump_examples
from fastslow.core.texts import folded
from fastslow.core.types import Example
from fastslow.tasks.damage import encodes
from fastslow.tasks.families.retrieval import Page, Search, words

LOOKED_AT = 4
"""Questions that are looked at for each worked example that is shown: some are too long for what is left."""


@dataclass(frozen=True)
class Entry:
    """A question with its verified answer, and the tokens of both."""

    worked: WorkedExample
    tokens: int


class Shelf:
    """Hold questions with verified answers, each question once, in the order of their arrival.

    Args:
        shown: worked examples that a context holds at most.
        max_context_tokens: tokens that they have together at most.
        tokens_of: returns the tokens of a text, or None for a text that no context may hold; needed to add answers,
            not to retrieve.
    """

    def __init__(self, shown: int, max_context_tokens: int, tokens_of: Callable[[str], int | None] | None = None):
        self.shown = shown
        self.max_context_tokens = max_context_tokens
        self._tokens_of = tokens_of
        self._known: dict[str, Entry] = {}
        self._search: Search | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def answers(self) -> list[WorkedExample]:
        """The worked examples, in the order of their arrival."""
        return [entry.worked for entry in self._known.values()]

    def add(self, examples: Iterable[WorkedExample]) -> None:
        """Add answers. Of one question, in whatever case or spacing, the first stays. Left out is what could never be
        shown: a question without a word, which nothing is similar to, and what is too long or no context may hold."""
        assert self._tokens_of is not None, "what is read from a file is complete"
        for worked in examples:
            tokens = self._tokens_of(f"{worked.question}\n{worked.answer}")
            if tokens is not None and tokens <= self.max_context_tokens and words(worked.question):
                self._put(Entry(worked, tokens))

    def _put(self, entry: Entry) -> None:
        if self._known.setdefault(folded(entry.worked.question), entry) is entry:
            self._search = None

    def nearest(self, example: Example) -> list[WorkedExample]:
        """Return the answers to the most similar other questions by BM25, the most similar last, next to the question:
        fewer than `shown` where no others share a word with it, or where more would be too long."""
        if not self._known:
            return []
        if self._search is None:
            self._search = Search([Page("", worked.question) for worked in self.answers])
        known, own = list(self._known.items()), folded(example.question)
        near: list[WorkedExample] = []
        left = self.max_context_tokens
        for place in self._search.top(example.question, LOOKED_AT * self.shown + 1):
            question, entry = known[place]
            if question != own and entry.tokens <= left and len(near) < self.shown:
                near.append(entry.worked)
                left -= entry.tokens
        return near[::-1]

    def context(self, example: Example, seed: Context) -> Context:
        """Return the seed context with the answers to the most similar questions as its worked examples."""
        near = self.nearest(example)
        if not near:
            return seed
        return Context({**seed.components, EXAMPLES: dump_examples(near)}, (seed.id,), "retrieval")

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        rows = [[entry.worked.question, entry.worked.answer, entry.tokens] for entry in self._known.values()]
        return {"shown": self.shown, "max_context_tokens": self.max_context_tokens, "answers": rows}

    def load(self, data: Mapping[str, Any]) -> None:
        """Take up plain data. Raises KeyError, TypeError or ValueError for anything but what `to_json` returned."""
        shown, most, rows = data["shown"], data["max_context_tokens"], data["answers"]
        if not (_counts(shown) and _counts(most)):
            raise ValueError("'shown' and 'max_context_tokens' must be whole numbers above 0")
        if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 3 for row in rows):
            raise ValueError("'answers' must be a list of [question, answer, tokens]")
        self.shown, self.max_context_tokens, self._known, self._search = shown, most, {}, None
        for question, answer, tokens in rows:
            texts = all(isinstance(text, str) and encodes(text) for text in (question, answer))
            if not texts or not _counts(tokens) or not words(question):
                raise ValueError("'answers' must be a list of [question, answer, tokens]")
            self._put(Entry(WorkedExample(question, answer), tokens))


def _counts(value: Any) -> bool:
    return type(value) is int and value > 0
