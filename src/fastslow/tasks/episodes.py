"""Environments: tasks in which what the model says decides what it hears next.

A task has a method `episode(example)`, which begins an episode for one rollout, or returns None where the example is
answered in one turn. The episode hears the model's turns one after another, and judges the whole at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastslow.core.types import Example, Verdict

HEARD = "environment: "
"""What begins each line of the environment in the text of an episode; no line of the model does."""

BETWEEN = "\n\n"

ROLES = ("user", "tool")
"""Whose turn a reply of an environment may be."""


@dataclass(frozen=True)
class Reply:
    """Hold what an environment says to a turn of the model.

    Attributes:
        text: the next turn that the model hears; None where the episode has ended.
        feedback: on the turn, for proposers: never shown to the model. It may say what would have been right on
            training examples only.
        role: whose turn it is, 'user' or, for the result of a call, 'tool'.
    """

    text: str | None
    feedback: str = ""
    role: str = "user"


class Episode(Protocol):
    """One conversation about one example. What an episode does is decided by the example and the turns alone."""

    def step(self, turn: str) -> Reply:
        """Hear the model's next turn."""
        ...

    def verdict(self) -> Verdict:
        """Judge the episode: once, after its end, or after the last turn that the model may take."""
        ...


def begin(task: Any, example: Example) -> Episode | None:
    """Return a new episode of an example; None where its task wants one answer."""
    make = getattr(task, "episode", None)
    return None if make is None else make(example)


def transcribed(text: str) -> str:
    """Return a turn of the model as it stands in the text of an episode, where no line of it can be taken for the
    environment's."""
    return "\n".join(f"> {line}" if line.startswith(HEARD.strip()) else line for line in text.split("\n"))


def heard(text: str) -> str:
    """Return a turn of the environment as it stands there: every line is marked."""
    return "\n".join(HEARD + line for line in text.split("\n"))


def judge_turns(episode: Episode, turns: Sequence[str]) -> Verdict:
    """Play an episode with these turns of the model, and return the verdict with the feedback of all turns."""
    said = []
    for turn in turns:
        reply = episode.step(turn)
        said.append(reply.feedback)
        if reply.text is None:
            break
    return with_feedback(episode.verdict(), said)


def with_feedback(verdict: Verdict, turns: Sequence[str]) -> Verdict:
    """Return a verdict whose feedback begins with that of the turns, each with its number."""
    lines = [f"Turn {number}: {said}" for number, said in enumerate(turns, 1) if said]
    feedback = "\n".join([*lines, *([verdict.feedback] if verdict.feedback else [])])
    return Verdict(verdict.reward, feedback, {"turns": len(turns), **verdict.info})
