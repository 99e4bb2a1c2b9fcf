"""Choose the context of a request by its first question, as an evaluation of the run would.

The choice depends on the question alone, and every request of a conversation brings its first question along: the
choice is kept for the conversation without any memory of it, and the server behind can reuse the prefix.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import question_alone, question_of
from fastslow.core.errors import BadInput
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT, LEAD, NONE
from fastslow.serving.errors import Refused
from fastslow.topics.topics import CHOOSING

SEED = "seed"
KINDS = (LEAD, SEED, *CHOOSING)

LONGEST = 32_768
"""Characters of a question that are looked at: an embedder reads no more of it than a page or two, and a stranger may
send megabytes."""

REMEMBERED = 4096
"""Choices in the cache. A conversation asks for the same one at every turn."""


@dataclass(frozen=True)
class Choice:
    """A context, or None for the client's messages as they are, and the topic it was chosen by."""

    context: Context | None
    topic: str = ""
    distance: float | None = None


class Chooser:
    """Choose contexts of one release.

    Args:
        release: what is served; opened with its topics unless `kind` is `lead`.
        kind: `lead`, `seed`, or `cluster` or `nearest`, see `Topics.choose`.

    Raises BadInput where the release's topics cannot choose in this way, or it does not hold the seed context.
    """

    def __init__(self, release: Release, kind: str):
        if kind == SEED and release.seed is None:
            raise BadInput("this folder does not hold the seed context; take --choose lead, or export all contexts.")
        if kind not in (LEAD, SEED) and (release.topics is None or kind not in release.topics.kinds):
            raise BadInput(f"this release cannot choose contexts by '{kind}'; take --choose lead.")
        self._release, self._kind = release, kind
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="choose")  # the cache of vectors has no lock
        self._known: OrderedDict[bytes, Choice] = OrderedDict()

    async def choose(self, turns: Sequence[Mapping[str, Any]], named: str | None) -> Choice:
        """Return the context for a conversation; the one that the client named, where it named one.

        Raises Refused for a name that is none.
        """
        population = self._release.population
        if named == NONE:
            return Choice(None)
        if named == SEED and self._release.seed is not None:
            return Choice(self._release.seed)
        if named not in (None, "", LEAD):
            if named not in population.known:
                raise Refused("there is no such context here", field=f"chat_template_kwargs.{ARGUMENT}")
            return Choice(population.known[named])
        if self._kind == SEED and not named:
            return Choice(self._release.seed)
        question = question_of(turns)[:LONGEST] if self._kind != LEAD and not named else ""
        if not question.strip():
            return Choice(population.lead)
        key = hashlib.sha256(question.encode()).digest()
        if key not in self._known:
            choice = await asyncio.get_running_loop().run_in_executor(self._worker, self.by_question, question)
            self._known[key] = choice
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def by_question(self, question: str) -> Choice:
        """Return the choice for a question, as `Topics.choose` makes it."""
        topics, population = self._release.topics, self._release.population
        assert topics is not None
        example = question_alone(question)
        topic = topics.entry_name(example)
        distance = topics.distance(example, topic) if topic is not None else None
        return Choice(topics.choose(self._kind, population, example), topic or "", distance)

    def close(self) -> None:
        """End the thread that chooses."""
        self._worker.shutdown(wait=False, cancel_futures=True)
