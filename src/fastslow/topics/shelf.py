"""Keep the answers that a stream has shown so far, and put those of the most similar questions before a new one.

This is retrieval-augmented generation over the task's own data: nothing learns, and what is retrieved becomes worked
examples in front of the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastslow.contexts.context import EXAMPLES, Context, WorkedExample, dump_examples
from fastslow.core.texts import folded
from fastslow.core.types import Example
from fastslow.tasks.families.retrieval import Page, Search, words

MOST_SHOWN = 100
"""Most worked examples of a context: more is a typing error, or a damaged file."""


class Shelf:
    """Hold questions with verified answers, each question once, in the order of their arrival.

    Args:
        shown: worked examples that a context holds at most.
    """

    def __init__(self, shown: int):
        self.shown = shown
        self._known: dict[str, WorkedExample] = {}
        self._search: Search | None = None

    def __len__(self) -> int:
        return len(self._known)

    def add(self, examples: Iterable[WorkedExample]) -> None:
        """Add answers. Of one question, in whatever case or spacing, the first stays; one without a word can never be
        found."""
        before = len(self._known)
        for worked in examples:
            if words(worked.question):
                self._known.setdefault(folded(worked.question), worked)
        if len(self._known) > before:
            self._search = None

    def nearest(self, example: Example) -> list[WorkedExample]:
        """Return the answers to the most similar other questions by BM25, the most similar last, next to the question;
        fewer than `shown` where no others share a word with it."""
        if not self._known:
            return []
        if self._search is None:
            self._search = Search([Page("", worked.question) for worked in self._known.values()])
        known, own = list(self._known.items()), folded(example.question)
        places = self._search.top(example.question, self.shown + 1)
        return [known[place][1] for place in places if known[place][0] != own][: self.shown][::-1]

    def context(self, example: Example, seed: Context) -> Context:
        """Return the seed context with the answers to the most similar questions as its worked examples."""
        near = self.nearest(example)
        if not near:
            return seed
        return Context({**seed.components, EXAMPLES: dump_examples(near)}, (seed.id,), "retrieval")

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {"shown": self.shown, "answers": [[w.question, w.answer] for w in self._known.values()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shelf:
        """Take up plain data. Raises KeyError, TypeError or ValueError for anything but what `to_json` returned."""
        shown = data["shown"]
        if type(shown) is not int or not 1 <= shown <= MOST_SHOWN:
            raise ValueError(f"'shown' must be a whole number from 1 to {MOST_SHOWN}")
        shelf = cls(shown)
        for question, answer in data["answers"]:
            if not isinstance(question, str) or not isinstance(answer, str):
                raise ValueError("questions and answers must be text")
            shelf.add([WorkedExample(question, answer)])
        return shelf
