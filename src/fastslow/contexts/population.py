"""Hold the fast weights: a population of contexts with scores for each example, its Pareto frontier and its lead.

Scores belong to one policy version and one anchor set. `rescored` replaces all of them at once, so that scores under
older weights are never compared with new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastslow.contexts.context import Context
from fastslow.core.errors import BadInput, quoted
from fastslow.core.registry import nearest

LEAD, SEED = "lead", "seed"
"""Names that stand for the id of a context."""

MOST_NAMED = 4
"""Ids that a message about an ambiguous beginning names."""

Scores = Mapping[str, float]
"""Example id -> score in [0, 1] of one context."""


def mean_score(scores: Scores) -> float:
    return sum(scores.values()) / len(scores) if scores else 0.0


def shared_ids(scores: Mapping[str, Scores]) -> set[str]:
    """Return the examples scored under every context. Only these allow a fair comparison; gepa averages over scored ids
    only."""
    return set.intersection(*(set(s) for s in scores.values())) if scores else set()


def pareto_frontier(scores: Mapping[str, Scores]) -> dict[str, set[str]]:
    """Return for each example the ids of the contexts with the highest score there (GEPA's frontier by instance)."""
    frontier = {}
    for example_id in sorted(shared_ids(scores)):
        best = max(s[example_id] for s in scores.values())
        frontier[example_id] = {context_id for context_id, s in scores.items() if s[example_id] == best}
    return frontier


def select_top_k(scores: Mapping[str, Scores], k: int, levels: Mapping[str, float] | None = None) -> list[str]:
    """Return up to `k` context ids, chosen by greedy coverage of solved examples, then by mean; the first id is the
    lead.

    Greedy coverage keeps a context that alone solves an example, which a ranking by mean would drop. An example on
    which every context scores 0 is covered by no context. The lead has the best mean of the chosen. With `levels`,
    what is known of the contexts beyond these scores, they take the place of the means, and the best is always chosen.
    """
    shared = shared_ids(scores)
    means = {c: mean_score({e: s[e] for e in shared}) for c, s in scores.items()}
    rank = {c: (-(means if levels is None else levels).get(c, 0.0), c) for c in scores}
    solved_by = {e: ids for e, ids in pareto_frontier(scores).items() if any(scores[c][e] > 0 for c in ids)}
    uncovered = set(solved_by)
    chosen = [] if levels is None else [min(rank, key=rank.__getitem__)]
    uncovered -= {e for e in uncovered if solved_by[e] & set(chosen)}
    while len(chosen) < min(k, len(scores)):
        rest = [c for c in scores if c not in chosen]
        best = min(rest, key=lambda c: (-sum(c in solved_by[e] for e in uncovered), rank[c]))
        chosen.append(best)
        uncovered -= {e for e in uncovered if best in solved_by[e]}
    return sorted(chosen, key=lambda c: rank[c])


@dataclass
class Population:
    """Hold up to `size` contexts in use (best first), and `known`, every context ever accepted.

    The seed context always stays reachable: it is in `known`, and every fast phase starts from it as well.
    """

    size: int
    seed: Context
    members: list[Context] = field(default_factory=list)
    known: dict[str, Context] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    policy_version: int = -1

    def __post_init__(self) -> None:
        self.members = self.members or [self.seed]
        self.known.setdefault(self.seed.id, self.seed)

    @property
    def lead(self) -> Context:
        """The best member: by its mean on the latest anchor set or, with `lead: evidence` and where means are the same,
        by all rollouts."""
        return self.members[0]

    @property
    def dealt(self) -> list[Context]:
        """The members in the order in which the latest fast phase chose them: who leads now moves no slot, so that an
        evaluation changes nothing of what is sampled."""
        order = {context_id: place for place, context_id in enumerate(self.scores)}
        return sorted(self.members, key=lambda c: order.get(c.id, len(order)))

    @property
    def carried(self) -> list[Context]:
        """The contexts from which the next fast phase starts: the seed, then every member, without repeats."""
        return list({c.id: c for c in [self.seed, *self.members]}.values())

    def named(self, name: str) -> Context:
        """Return a context by `lead`, `seed`, its id or any beginning of its id that no other id has.

        Raises BadInput with the nearest id for a name that is none, and with the ids it may mean for one that is not
        enough.
        """
        if name in (LEAD, SEED):
            return self.lead if name == LEAD else self.seed
        matches = [context_id for context_id in self.known if name and context_id.startswith(name)]
        if len(matches) == 1 or name in self.known:
            return self.known[name if name in self.known else matches[0]]
        if matches:
            shown = ", ".join(sorted(matches)[:MOST_NAMED]) + (", ..." if len(matches) > MOST_NAMED else "")
            raise BadInput(f"'{name}' is the beginning of {len(matches)} contexts' ids: {shown}; give more of it.")
        raise BadInput(f"there is no context '{quoted(name, 40)}' here.{nearest(name, [LEAD, SEED, *self.known])}")

    def starting_from(self, contexts: Sequence[Context]) -> Population:
        """Return the population with `contexts` first, followed by as many of its own members as `size` allows."""
        members = list({c.id: c for c in [*contexts, *self.members]}.values())[: self.size]
        return replace(self, members=members, scores={c.id: self.scores[c.id] for c in members if c.id in self.scores})

    def led_by(self, levels: Mapping[str, float]) -> Population:
        """Return the population with its members in the order of `levels`, the best first; one without a level last."""
        return replace(self, members=sorted(self.members, key=lambda c: -levels.get(c.id, -1.0)))

    @property
    def tied(self) -> list[Context]:
        """The lead, and the members with the same mean on the latest anchor set: all of them while the model is right
        on nothing."""
        shared = shared_ids({c.id: self.scores.get(c.id, {}) for c in self.members})
        means = [mean_score({e: self.scores[c.id][e] for e in shared}) for c in self.members] if shared else []
        return [c for c, mean in zip(self.members, means, strict=False) if math.isclose(mean, means[0])] or [self.lead]

    def untied_by(self, levels: Mapping[str, float]) -> Population:
        """Return the population with its tied members first, in the order of `levels`; one without a level after
        them."""
        tied = sorted(self.tied, key=lambda c: -levels.get(c.id, -1.0))
        return replace(self, members=[*tied, *(c for c in self.members if c not in tied)])

    def rescored(
        self,
        contexts: Sequence[Context],
        scores: Mapping[str, Scores],
        *,
        policy_version: int,
        levels: Mapping[str, float] | None = None,
    ) -> Population:
        """Return the population after a fast phase: the top K of `contexts` under scores of one policy version and,
        where they are given, by `levels` (see `select_top_k`)."""
        by_id = {c.id: c for c in contexts}
        chosen = select_top_k(scores, self.size, levels)
        return Population(
            size=self.size,
            seed=self.seed,
            members=[by_id[c] for c in chosen],
            known={**self.known, **by_id},
            scores={c: dict(scores[c]) for c in chosen},
            policy_version=policy_version,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "seed": self.seed.id,
            "members": [c.id for c in self.members],
            "archive": [c.to_json() for c in self.known.values()],
            "scores": self.scores,
            "policy_version": self.policy_version,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Population:
        known = {c.id: c for c in map(Context.from_json, data["archive"])}
        return cls(
            size=data["size"],
            seed=known[data["seed"]],
            members=[known[c] for c in data["members"]],
            known=known,
            scores={c: dict(s) for c, s in data["scores"].items()},
            policy_version=data["policy_version"],
        )
