"""Decide where to cut a step's rollouts into sequences, so that shared tokens are computed once and attention stays
short.

Rows with a common beginning form a token tree. One tree of all rows shares the most, but dense attention costs its
length squared; cutting a tree repeats what both parts share. `lay_out` balances the two costs, on token counts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A sequence of n tokens costs n + ATTENTION_WEIGHT n^2, in units of its linear layers for one token. From the
# arithmetic alone the weight would be about 1 / (6 x hidden size), but masked attention runs at a fraction of a matrix
# product's rate. `make bench` times other weights (the last table of docs/performance.md).
ATTENTION_WEIGHT = 1 / 1000


@dataclass(frozen=True)
class Row:
    """Hold one rollout: all its token ids, of which the last `answer` are the completion's. The keys and values of the
    first `fixed` tokens, all of the prompt, are constants: no gradient passes through them."""

    ids: tuple[int, ...]
    answer: int
    fixed: int = 0


@dataclass(frozen=True)
class Tree:
    """Hold the token trees of one sequence, parents before children. `paths` holds each row's nodes, first to last;
    `fixed` says which nodes are constants for a row that holds them, and so are all nodes before them."""

    tokens: np.ndarray
    depths: np.ndarray
    sees: np.ndarray
    fixed: np.ndarray
    paths: dict[int, np.ndarray]


def tree_tokens(rows: Sequence[Row]) -> int:
    """Return how many tokens the model computes for these rows in one tree (the last token of a row predicts
    nothing)."""
    starts = sorted(row.ids[:-1] for row in rows)
    return sum(map(len, starts)) - sum(map(_shared, starts, starts[1:]))


def lay_out(rows: Sequence[Row], attention_weight: float = ATTENTION_WEIGHT) -> list[list[int]]:
    """Return the row numbers of each sequence, at about the lowest cost of linear layers and attention over padded
    sequences."""
    order = sorted(range(len(rows)), key=lambda i: rows[i].ids[:-1])
    starts = [rows[i].ids[:-1] for i in order]
    lengths = np.array([len(s) for s in starts])
    shared = np.array([*map(_shared, starts, starts[1:])], dtype=np.int64)
    spans = _cut(lengths, shared, 0, len(order), attention_weight)
    loads = [_tokens(lengths, shared, *span) for span in spans]
    return [[order[i] for u in sequence for i in range(*spans[u])] for sequence in _fill(loads, attention_weight)]


def cost(sequences: int, length: int, attention_weight: float = ATTENTION_WEIGHT) -> float:
    """Return the cost of `sequences` rows of `length` tokens each, in tokens through the linear layers."""
    return sequences * (length + attention_weight * length**2)


def padded_cost(rows: Sequence[Row]) -> float:
    """Return the cost of the same rows padded to the longest; causal attention without a custom mask does half of the
    work."""
    return cost(len(rows), max(len(row.ids) for row in rows), ATTENTION_WEIGHT / 2)


def grow(rows: Sequence[Row], members: Sequence[int]) -> Tree:
    """Build the trees of one sequence."""
    order = sorted(members, key=lambda i: rows[i].ids[:-1])
    starts = [rows[i].ids[:-1] for i in order]
    shared = [0, *map(_shared, starts, starts[1:])]
    total = sum(map(len, starts)) - sum(shared)
    tokens, depths = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    sees, fixed = np.zeros((total, total), dtype=bool), np.zeros(total, dtype=bool)
    paths: dict[int, np.ndarray] = {}
    path, used = np.empty(0, dtype=np.int64), 0
    for i, ids, old in zip(order, starts, shared, strict=True):
        new = np.arange(used, used + len(ids) - old)
        path = np.concatenate([path[:old], new])
        tokens[new], depths[new] = ids[old:], np.arange(old, len(ids))
        sees[np.ix_(new, path)] = np.tri(len(ids), dtype=bool)[old:]
        fixed[path[: rows[i].fixed]] = True
        paths[i], used = path, used + len(new)
    return Tree(tokens, depths, sees, fixed, paths)


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return the length of the common beginning."""
    n = min(len(one), len(other))
    if one[:n] == other[:n]:
        return n
    return int(np.argmax(np.asarray(one[:n]) != np.asarray(other[:n])))


def _tokens(lengths: np.ndarray, shared: np.ndarray, start: int, stop: int) -> int:
    return int(lengths[start:stop].sum() - shared[start : stop - 1].sum())


def _cut(lengths: np.ndarray, shared: np.ndarray, start: int, stop: int, weight: float) -> list[tuple[int, int]]:
    """Cut a run of sorted rows in two where its tree first branches, as long as the cut saves more than it repeats."""
    if stop - start < 2:
        return [(start, stop)]
    inside = shared[start : stop - 1]
    branches = start + 1 + np.flatnonzero(inside == inside.min())
    left = lengths[start:stop].cumsum() - np.concatenate([[0], inside]).cumsum()
    whole = _tokens(lengths, shared, start, stop)
    middle = int(branches[np.abs(left[branches - start - 1] - whole / 2).argmin()])
    halves = [_tokens(lengths, shared, *span) for span in ((start, middle), (middle, stop))]
    if sum(cost(1, n, weight) for n in halves) >= cost(1, whole, weight):
        return [(start, stop)]
    return [
        *_cut(lengths, shared, start, middle, weight),
        *_cut(lengths, shared, middle, stop, weight),
    ]


def _fill(loads: list[int], weight: float) -> list[list[int]]:
    """Put trees together into sequences of similar length: first fit decreasing, at the cheapest of a few lengths."""
    plans = []
    for factor in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, float("inf")):
        capacity = max(loads) * factor
        sequences: list[list[int]] = []
        filled: list[int] = []
        for tree in sorted(range(len(loads)), key=lambda u: -loads[u]):
            slot = next((s for s, n in enumerate(filled) if n + loads[tree] <= capacity), len(filled))
            if slot == len(filled):
                sequences.append([])
                filled.append(0)
            sequences[slot].append(tree)
            filled[slot] += loads[tree]
        plans.append((cost(len(filled), max(filled), weight), sequences))
    return min(plans, key=lambda plan: plan[0])[1]
