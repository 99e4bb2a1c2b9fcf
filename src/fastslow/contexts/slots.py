"""Deal a step's rollouts to the contexts: evenly, as in the paper, or by what each is expected to be worth.

A rollout under a context that will never ship teaches the weights to answer under it. So slots go to each context by
the chance that it will be the best one some steps from now: what is known of its level and of how fast it learns, and
how sure that is (posterior sampling, Thompson 1933, Biometrika 25; as long as nothing is sure, all get some).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastslow.contexts.evidence import Standings

DRAWS = 4000
"""Draws from what is known, for the chances of being the best: their errors are below 0.01."""

EARNED = 0.9
"""Chance of being better than the seed context that earns contexts slots, of all of them together."""

TRIAL = 1 / 8
"""Most of the groups by which contexts are tried that may be better than those that earned slots: without a trial a
context that carries the task was often never found out (docs/evidence.md)."""


def even_slots(
    contexts: int, groups: Sequence[int], num_generations: int, counts: Sequence[int] | None = None
) -> list[list[int]]:
    """Return the index of the context for each slot of each group: an even split with a rotating remainder.

    Args:
        contexts: how many are in use.
        groups: number of each group, counted over the whole run: where the contexts in use do not divide G, the extra
            slots fall on each context in turn, and the split is even over time.
        num_generations: G.
        counts: slots of each group; None: G each.
    """
    counts = [num_generations] * len(groups) if counts is None else counts
    return [
        [(slot + group * num_generations) % contexts for slot in range(count)]
        for group, count in zip(groups, counts, strict=True)
    ]


def shares_by_worth(
    context_ids: Sequence[str], standings: Standings, *, seed_id: str, floor: float, ahead: float, seed: int
) -> list[float]:
    """Return the share of the slots of each context; they add up to 1.

    Args:
        context_ids: those in use, and the seed context.
        standings: what is known now.
        seed_id: the seed context, which gets at least `floor` until it is shown to be dead: RL often learns fastest
            under the plain prompt, and that shows only where it is tried.
        floor: in [0, 1].
        ahead: optimiser steps from now at which to be the best counts.
        seed: of the draws.
    """
    draws_D_K = standings.draws(context_ids, ahead=ahead, count=DRAWS, rng=np.random.default_rng(seed))
    best_D = draws_D_K.argmax(axis=1)
    shares_K = np.bincount(best_D, minlength=len(context_ids)) / DRAWS
    if seed_id in context_ids and not standings.dead(seed_id):
        at = list(context_ids).index(seed_id)
        missing = floor - shares_K[at]
        if missing > 0:
            shares_K *= 1 - missing / (1 - shares_K[at])
            shares_K[at] = floor
    return shares_K.tolist()


def shares_if_earned(
    context_ids: Sequence[str], standings: Standings, *, seed_id: str, floor: float, ahead: float, seed: int
) -> list[float]:
    """Return the share of the slots of each context: all of them are the seed context's, but for contexts that are
    better than it with a chance of `EARNED`. Those share them by worth, and a dead seed context has none.

    Where contexts do not help, rollouts under them teach the weights to answer as nobody will ask: then a step is one
    of plain RL, but for `groups_on_trial`. Arguments are those of `shares_by_worth`.
    """
    taking_part = set(those_that_earned(context_ids, standings, seed_id, seed=seed))
    if not taking_part or not standings.dead(seed_id):
        taking_part.add(seed_id)
    earned = [context_id for context_id in context_ids if context_id in taking_part]
    shares = shares_by_worth(earned, standings, seed_id=seed_id, floor=floor, ahead=ahead, seed=seed)
    whole = dict(zip(earned, shares, strict=True))
    return [whole.get(context_id, 0.0) for context_id in context_ids]


def shares_on_trial(
    context_ids: Sequence[str], standings: Standings, shares: Sequence[float], *, seed_id: str, ahead: float, seed: int,
    most: float = TRIAL,
) -> list[float]:  # fmt: skip
    """Return the share of the groups that each context in doubt is tried on: together the chance that one of them will
    be the best of all, and at most `most`.

    In doubt are those that have no `shares`, and are more likely better than the seed context than worse: where
    contexts do not help, a step is to be one of plain RL. Arguments are those of `shares_by_worth`.
    """
    chances = shares_by_worth(context_ids, standings, seed_id=seed_id, floor=0.0, ahead=ahead, seed=seed)
    doubted = [
        0.0 if share or not _may_be_better(c, seed_id, standings) else chance
        for c, share, chance in zip(context_ids, shares, chances, strict=True)
    ]
    total = sum(doubted)
    return [chance / total * min(most, total) if total else 0.0 for chance in doubted]


def _may_be_better(context_id: str, seed_id: str, standings: Standings) -> bool:
    if context_id == seed_id or standings.dead(context_id):
        return False
    compared = context_id in standings and seed_id in standings
    return not compared or standings.edge(context_id, seed_id)[0] > 0


def groups_on_trial(
    shares: Sequence[float], owed: Sequence[float], counts: Sequence[int]
) -> tuple[list[int | None], list[float]]:
    """Return the index of the context that each group is a trial of, None for most, and what is owed afterwards.

    A trial is a whole group: beside rollouts under the plain prompt, those of a better context would mark all of them
    down, and weights that answer the plain prompt worse are no basis for what is found out.

    Args:
        shares: of the groups, see `shares_on_trial`.
        owed: the slots that earlier calls still owe the contexts.
        counts: slots of each group.
    """
    owed_K, given = np.array(owed, dtype=np.float64), []
    on_trial_K = np.asarray(shares, dtype=np.float64) > 0
    for count in counts:
        owed_K = owed_K + count * np.asarray(shares, dtype=np.float64)
        if count and on_trial_K.any() and owed_K[on_trial_K].sum() >= count:
            chosen = int(np.where(on_trial_K, owed_K, -np.inf).argmax())
            owed_K[chosen] -= count
            given.append(chosen)
        else:
            given.append(None)
    return given, owed_K.tolist()


def those_that_earned(context_ids: Sequence[str], standings: Standings, seed_id: str, *, seed: int) -> list[str]:
    """Return the contexts that are better than the seed context now with a chance of `EARNED`, or more where there are
    several to be mistaken in (Bonferroni); where that one is dead, all that are not: whatever earns anything teaches
    more than what earns nothing."""
    if standings.dead(seed_id):
        return [c for c in context_ids if c != seed_id and not standings.dead(c)]
    names = [seed_id, *(c for c in context_ids if c != seed_id)]
    enough = 1 - (1 - EARNED) / max(len(names) - 1, 1)
    draws_D_K = standings.draws(names, ahead=0, count=DRAWS, rng=np.random.default_rng(seed))
    better_K = (draws_D_K > draws_D_K[:, [0]]).mean(axis=0)
    return [name for name, better in zip(names, better_K, strict=True) if better >= enough]


def slots_by_share(
    shares: Sequence[float], owed: Sequence[float], counts: Sequence[int]
) -> tuple[list[list[int]], list[float]]:
    """Return the index of the context for each slot of each group, and what is owed afterwards.

    Over all groups a context gets its share to within one slot; inside a group the contexts are as mixed as the shares
    allow.

    Args:
        shares: of the contexts; they add up to 1.
        owed: the parts of a slot that earlier calls still owe them.
        counts: slots of each group.
    """
    shares_K, owed_K = np.asarray(shares, dtype=np.float64), np.array(owed, dtype=np.float64)

    def pick() -> int:
        nonlocal owed_K
        owed_K = owed_K + shares_K
        chosen = int(owed_K.argmax())
        owed_K[chosen] -= 1
        return chosen

    return [[pick() for _ in range(count)] for count in counts], owed_K.tolist()
