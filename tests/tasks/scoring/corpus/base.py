"""A pair of gold and completion with its truth, and how a scorer does on many of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fastslow.tasks.scoring import SCORERS

PAIRS = 2_000


@dataclass(frozen=True)
class Pair:
    """`kind` names the notation of a right answer, or what is wrong with a wrong one."""

    gold: str
    completion: str
    right: bool
    kind: str


Draw = Callable[[random.Random], Pair]


def pairs(name: str, right: Draw, wrong: Draw, count: int = PAIRS) -> Iterator[Pair]:
    """Yield `count` pairs, right and wrong in turn, always the same ones."""
    rng = random.Random(f"corpus of {name}")
    for number in range(count):
        yield (wrong if number % 2 else right)(rng)


@dataclass
class Tally:
    """What a scorer made of the pairs."""

    right: int = 0
    wrong: int = 0
    rewarded: list[Pair] = field(default_factory=list)
    refused: list[Pair] = field(default_factory=list)
    objected: list[Pair] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return a row of the table in docs/scorers.md."""
        kinds = Counter(pair.kind for pair in self.refused)
        listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items())) or "none"
        return f"| `{name}` | {self.right} | {len(self.refused)} | {self.wrong} | {len(self.rewarded)} | {listed} |"


def judged(name: str, pairs: Iterable[Pair]) -> Tally:
    scorer, tally = SCORERS.factory(name)(), Tally()
    for pair in pairs:
        if scorer.objection(pair.gold) is not None:
            tally.objected.append(pair)
        rewarded = scorer.judge(pair.completion, pair.gold).right
        if pair.right:
            tally.right += 1
            if not rewarded:
                tally.refused.append(pair)
        else:
            tally.wrong += 1
            if rewarded:
                tally.rewarded.append(pair)
    return tally
