"""Define what a scorer is, and how its judgement becomes a verdict that reveals no held-out answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from fastslow.core.errors import BadInput
from fastslow.core.registry import Registry, nearest
from fastslow.core.types import Split, Verdict
from fastslow.tasks.verdicts import quote

Defect = Literal["none", "no answer", "unparsable", "wrong value", "unscored"]

SHOWN_CHARS = 1_000  # characters of a right answer in feedback: enough to recognise a long JSON, and cheap in a prompt


@dataclass(frozen=True)
class Judgement:
    """Hold the judgement of a scorer. `said` describes the completion and suits every split; `hint` may use the right
    answer and is for training examples only."""

    defect: Defect
    said: str = ""
    hint: str = ""

    @property
    def right(self) -> bool:
        return self.defect == "none"


RIGHT = Judgement("none", "Correct.")


def no_answer(how: str) -> Judgement:
    return Judgement("no answer", f"No answer given: {how}.")


def unparsable(given: str, why: str) -> Judgement:
    return Judgement("unparsable", f"Unparsable answer: '{quote(given)}' {why}.")


def wrong(given: str, hint: str = "") -> Judgement:
    return Judgement("wrong value", f"Wrong value: got '{quote(given)}'.", hint)


class Scorer(Protocol):
    """Judge a completion against the text of the right answer, the *gold*.

    `judge` is pure, and raises for no completion if `objection` accepted the gold.
    """

    def objection(self, gold: str) -> str | None:
        """Return why this gold cannot be scored against, worded to follow 'the answer'; None where it can."""
        ...

    def judge(self, completion: str, gold: str) -> Judgement: ...

    def completion(self, gold: str) -> str | None:
        """Return the shortest completion that states this gold; None where the gold does not tell."""
        ...

    def shown(self, gold: str) -> str:
        """Return what feedback on a training example says of the gold."""
        ...

    def literal(self, gold: str) -> str | None:
        """Return why only the letters of this gold meet it, though the scorer compares values, worded to follow 'the
        answer'; None where other spellings are accepted, and for a scorer that compares texts."""
        ...


class PlainScorer:
    """Supply the common parts of most scorers: any gold but an empty one, stated as it is."""

    def objection(self, gold: str) -> str | None:
        return None if gold.strip() else "is empty"

    def completion(self, gold: str) -> str | None:
        return gold

    def shown(self, gold: str) -> str:
        shown = gold if len(gold) <= SHOWN_CHARS else gold[:SHOWN_CHARS] + "..."
        return f"The right answer is '{shown}'."

    def literal(self, gold: str) -> str | None:
        return None


SCORERS: Registry[Scorer] = Registry("scorer")


def scorer_named(name: str, task: str) -> Scorer:
    """Return the built-in scorer with this name. Raises BadInput with the nearest one."""
    if name not in SCORERS.names():
        raise BadInput(
            f"task '{task}': unknown scorer '{name}'.{nearest(name, SCORERS.names())} "
            "For a scorer of your own write package.module:name."
        )
    return SCORERS.factory(name)()


def verdict(judgement: Judgement, scorer: Scorer, gold: str, split: Split) -> Verdict:
    """Return the verdict on an example of this split. Only on training examples does it show the gold and what follows
    from it."""
    if judgement.defect == "unscored":
        return Verdict.unscored(judgement.said)
    info = {} if judgement.right else {"defect": judgement.defect}
    if judgement.right or split != "train":
        return Verdict(float(judgement.right), judgement.said, info)
    return Verdict(0.0, " ".join(filter(None, (judgement.said, judgement.hint, scorer.shown(gold)))), info)
