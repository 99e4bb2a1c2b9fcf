"""Hold a task of the user's to the protocol `Task`, and keep from it what it could change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks.base import Task
from fastslow.tasks.damage import encodes
from fastslow.tasks.episodes import ROLES, Episode, Reply, judge_turns
from fastslow.tasks.verdicts import checked_verdict

METHODS = ("split", "score", "answer")


class OwnEpisode:
    """Hold an episode of a user's environment, and check every reply.

    Raises:
        Failed: where it raises, or returns anything but a reply, or a verdict on a reward in [0, 1].
    """

    def __init__(self, episode: Any, who: str):
        self._episode, self._who = episode, who

    def step(self, turn: str) -> Reply:
        reply: Any = foreign.call(self._episode.step, turn, who=self._who)
        if not isinstance(reply, Reply):
            raise foreign.Failed(f"TypeError: step returned {type(reply).__name__}, not fastslow.tasks.episodes.Reply")
        if not isinstance(reply.text, str | None) or not isinstance(reply.feedback, str):
            raise foreign.Failed("TypeError: a Reply is of a text, or None, and a text of feedback ('' for none)")
        if reply.role not in ROLES:
            raise foreign.Failed(f"ValueError: the role of a Reply is {' or '.join(ROLES)}, not {reply.role!r:.40}")
        if reply.text is not None and not encodes(reply.text):
            raise foreign.Failed("ValueError: step returned half a surrogate pair, which is no text")
        return reply

    def verdict(self) -> Verdict:
        return _checked(foreign.call(self._episode.verdict, who=self._who))


class OwnTask:
    """Ask a user's task, and check every answer.

    An environment, a task with a method `episode`, needs no `score`: a text alone is judged as an episode's only turn.
    Each split is asked for once and copied. Every call gets a copy of its example, so that a task that changes what it
    is given changes neither prompts nor later scores. Further attributes are those of the user's task.

    Raises:
        BadInput: for an object, a split or an answer that is not what the protocol says.
        Failed: where scoring raises, or returns anything but a verdict on a reward in [0, 1].
    """

    def __init__(self, task: Any, spec: str = ""):
        kind = type(task).__name__
        self._who = f"task '{spec or kind}'"
        try:
            name, missing = foreign.call(_parts, task, who=self._who)
        except foreign.Failed as fault:
            raise BadInput(f"{self._who}: asking for its name and methods raised {fault}.") from fault
        if missing:
            made = f"{'its factory returned a' if spec else 'it is a'} {kind} without {', '.join(missing)}"
            raise BadInput(f"{self._who}: {made}; a task has a name and the methods split, score and answer.")
        self.name = str(name)
        self.unchecked = task
        self._splits: dict[Split, tuple[Example, ...]] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "unchecked":  # before it is set, as while copying
            raise AttributeError(name)
        return getattr(self.unchecked, name)

    def split(self, name: Split) -> Sequence[Example]:
        if name not in self._splits:
            where = f"{self._who}: its split('{name}')"
            try:
                # A sequence may make its examples while it is read, so it is read inside the call.
                examples = foreign.call(lambda: _read(self.unchecked.split(name)), who=self._who, through=(BadInput,))
            except foreign.Failed as fault:
                raise BadInput(f"{where} raised {fault}.") from fault
            for example in examples:
                if (problem := _problem(example)) is not None:
                    raise BadInput(f"{where} holds {problem}.")
            self._splits[name] = tuple(map(copied, examples))
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        episode = self.episode(example)
        if episode is not None:
            return judge_turns(episode, [completion])
        if not callable(getattr(self.unchecked, "score", None)):
            raise foreign.Failed(f"TypeError: the task has no score, and example {example.id} has no episode")
        return _checked(foreign.call(self.unchecked.score, copied(example), completion, who=self._who))

    def episode(self, example: Example) -> Episode | None:
        """Return a new episode of an example; None where one answer is wanted. Raises Failed for anything else."""
        make = getattr(self.unchecked, "episode", None)
        if make is None:
            return None
        made = foreign.call(make, copied(example), who=self._who)
        if made is None:
            return None
        missing = [name for name in ("step", "verdict") if not callable(getattr(made, name, None))]
        if missing:
            raise foreign.Failed(f"TypeError: episode returned a {type(made).__name__} without {' and '.join(missing)}")
        return OwnEpisode(made, self._who)

    def answer(self, example: Example) -> str | None:
        where = f"{self._who}: its answer to example {example.id}"
        try:
            answer = foreign.call(self.unchecked.answer, copied(example), who=self._who)
        except foreign.Failed as fault:
            raise BadInput(f"{where} raised {fault}.") from fault
        if answer is not None and not isinstance(answer, str):
            raise BadInput(f"{where} is {type(answer).__name__}; return a text, or None where there is none.")
        return answer


def own_task(task: Task) -> Task:
    """Return the task as it is if it is one of ours or checked already, else an `OwnTask` around it."""
    return task if foreign.ours(task) else OwnTask(task)


def copied(example: Example) -> Example:
    """Return an equal example that shares no plain container with this one."""
    return replace(example, messages=foreign.fresh(example.messages), payload=foreign.fresh(example.payload))


def _parts(task: Any) -> tuple[Any, list[str]]:
    """Return the name of what should be a task, and what it lacks."""
    name = getattr(task, "name", None)
    missing = [] if isinstance(name, str) else ["name"]
    methods = [method for method in METHODS if method != "score" or not callable(getattr(task, "episode", None))]
    return name, missing + [method for method in methods if not callable(getattr(task, method, None))]


def _checked(verdict: Any) -> Verdict:
    try:
        return checked_verdict(verdict)
    except ValueError as error:
        raise foreign.Failed(f"{type(error).__name__}: {error}") from error


def _read(examples: Any) -> list[Any]:
    len(examples)  # a generator is no sequence
    return list(examples)


def _problem(example: Any) -> str | None:
    """Return what makes this no example, worded to follow 'holds'."""
    if not isinstance(example, Example):
        return f"a {type(example).__name__}, not fastslow.core.types.Example"
    turns = example.messages
    texts = isinstance(turns, Sequence) and all(
        isinstance(turn, Mapping) and isinstance(turn.get("content"), str) and turn.get("role") in ("user", "assistant")
        for turn in turns
    )
    asks = texts and all(turn["role"] == "user" for turn in (*turns[:1], *turns[-1:]))
    if not isinstance(example.id, str) or not asks or not turns:
        return (
            f"example {example.id!r:.80}, whose id is no text or whose messages are no conversation that begins and "
            "ends with the user"
        )
    return None
