"""What a scorer is, and how its judgement becomes a verdict that gives nothing away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from fastslow.core.errors import BadInput
from fastslow.core.registry import Registry, nearest
from fastslow.core.types import Split, Verdict
from fastslow.tasks.verdicts import quote

Defect = Literal["none", "no answer", "unparsable", "wrong value", "unscored"]

SHOWN_CHARS = 1_000  # of a right answer in feedback: a long JSON is still recognised, and a prompt stays payable


@dataclass(frozen=True)
class Judgement:
    """What a scorer finds. `said` tells what the completion did and holds for every split; `hint` may draw on the
    right answer and is for training examples only."""

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
    """Judges a completion against the text of the right answer, the *gold*.

    `judge` is pure and raises for no completion whatever, if `objection` had none to the gold.
    """

    def objection(self, gold: str) -> str | None:
        """Why this gold cannot be scored against, to follow 'the answer'; None: it can."""
        ...

    def judge(self, completion: str, gold: str) -> Judgement: ...

    def completion(self, gold: str) -> str | None:
        """The shortest completion that states this gold; None where that cannot be told from it."""
        ...

    def shown(self, gold: str) -> str:
        """What feedback on a training example says of the gold."""
        ...


class PlainScorer:
    """What most scorers have in common: any gold but an empty one, stated as it is."""

    def objection(self, gold: str) -> str | None:
        return None if gold.strip() else "is empty"

    def completion(self, gold: str) -> str | None:
        return gold

    def shown(self, gold: str) -> str:
        shown = gold if len(gold) <= SHOWN_CHARS else gold[:SHOWN_CHARS] + "..."
        return f"The right answer is '{shown}'."


SCORERS: Registry[Scorer] = Registry("scorer")


def scorer_named(name: str, task: str) -> Scorer:
    """The scorer of ours with this name. Raises BadInput with the nearest one."""
    if name not in SCORERS.names():
        raise BadInput(
            f"task '{task}': unknown scorer '{name}'.{nearest(name, SCORERS.names())} "
            "For a scorer of your own write package.module:name."
        )
    return SCORERS.factory(name)()


def verdict(judgement: Judgement, scorer: Scorer, gold: str, split: Split) -> Verdict:
    """The verdict on an example of this split: the gold, and what was drawn from it, only on training examples."""
    if judgement.defect == "unscored":
        return Verdict.unscored(judgement.said)
    info = {} if judgement.right else {"defect": judgement.defect}
    if judgement.right or split != "train":
        return Verdict(float(judgement.right), judgement.said, info)
    return Verdict(0.0, " ".join(filter(None, (judgement.said, judgement.hint, scorer.shown(gold)))), info)
