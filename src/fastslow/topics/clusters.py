"""Which task is this? Questions clustered as they arrive, without labels and without a distance set by hand.

A cluster is a window of its latest members; its centre is their mean and moves with them. An example joins the nearest
one. After every batch each cluster is asked whether its members still form one hump, and is split where they do not:
that is how a new task is noticed, how the first batches fall into tasks, and where all thresholds come from. The idea
is G-means' (Hamerly and Elkan 2003, "Learning the k in k-means"), with a test that holds where dimensions outnumber
members: the axis comes from one half of them, the verdict from the other.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from fastslow.core.types import Example
from fastslow.topics.change_points import HAZARD, recent_change
from fastslow.topics.embedders import Embedder

WINDOW = 64
"""Members that a cluster is known by: enough to see a minority of a few, few enough to follow a drift."""

LEVEL = 0.001
"""How rarely a flat hump, the hardest to tell from two, is split by chance."""

LEAST = 4
"""Members on either side of a split: two in each half, the least that has a spread."""

MOST = 64
"""Clusters at most. Questions as varied as prose go on falling apart; without an end their state would only grow."""

HISTORY = round(1 / HAZARD)
"""Batches that a change is looked for in."""

CACHED = 4096
"""Vectors kept so that no question is embedded twice."""


@dataclass(frozen=True)
class Observation:
    """What one batch brought: its examples by cluster, clusters opened, and a change point if one was noticed.

    `change` is the number of the batch that came first after it, counted from 0 as `batch` is.
    """

    batch: int
    counts: dict[str, int]
    opened: list[str]
    change: int | None


@dataclass
class _Member:
    arrived: int
    id: str
    vector: Float[np.ndarray, " D"]


class Clusters:
    """Topics by what questions say. Batches are observed in order, each once.

    Nothing here is random: a run that is resumed from `state_dict` goes on exactly.
    """

    def __init__(self, embedder: Embedder):
        self._embedder = embedder
        self._windows: dict[str, list[_Member]] = {}
        self._assigned: dict[str, str] = {}
        self._since_change: list[list[str]] = []
        self._arrived = 0
        self.observed = 0
        self._vectors: dict[str, Float[np.ndarray, " D"]] = {}

    @property
    def names(self) -> list[str]:
        """In the order in which they were opened."""
        return list(self._windows)

    def of(self, example: Example) -> str:
        """The cluster that the example was put into, or the nearest to one not seen yet; '' before the first batch."""
        if example.id in self._assigned:
            return self._assigned[example.id]
        return self.by_distance(example)[0] if self._windows else ""

    def by_distance(self, example: Example) -> list[str]:
        """All clusters, that with the nearest centre first, whatever the example was put into."""
        distances = ((self._centres() - self.vectors([example])[0]) ** 2).sum(1)
        return [self.names[i] for i in np.argsort(distances, kind="stable")]

    def vectors(self, examples: Sequence[Example]) -> Float[np.ndarray, "N D"]:
        """Their questions' vectors."""
        wanted = list(dict.fromkeys(e.question for e in examples if e.question not in self._vectors))
        if len(self._vectors) + len(wanted) > CACHED:
            self._vectors.clear()
            wanted = list(dict.fromkeys(e.question for e in examples))
        self._vectors.update(zip(wanted, self._embedder.embed(wanted), strict=True))
        return np.stack([self._vectors[e.question] for e in examples])

    def observe(self, examples: Sequence[Example]) -> Observation:
        """Take in the next batch: every example joins a cluster, new ones are opened, a change is looked for."""
        known = set(self._windows)
        for example, vector in zip(examples, self.vectors(examples), strict=True):
            self._join(example.id, vector)
        pending = list(self._windows)
        while pending:
            name = pending.pop()
            opened = self._split(name)
            pending += [name, opened] if opened else []
        opened = [name for name in self._windows if name not in known]
        if opened:
            self._settle()
        ids = [e.id for e in examples]
        batch, self.observed = self.observed, self.observed + 1
        change = self._change(batch, ids)
        counts: dict[str, int] = {}
        for name in (self._assigned[i] for i in ids):
            counts[name] = counts.get(name, 0) + 1
        return Observation(batch, counts, opened, change)

    # Joining and splitting

    def _centres(self) -> Float[np.ndarray, "C D"]:
        return np.stack([np.mean([m.vector for m in window], axis=0) for window in self._windows.values()])

    def _nearest(self, vector: Float[np.ndarray, " D"]) -> str:
        return list(self._windows)[int(((self._centres() - vector) ** 2).sum(1).argmin())]

    def _join(self, id: str, vector: Float[np.ndarray, " D"]) -> None:
        """An example that comes again moves to the end: twice in a window it would vote for its own hump."""
        for window in self._windows.values():
            window[:] = [m for m in window if m.id != id]
        self._windows = {name: window for name, window in self._windows.items() if window} or {"c0": []}
        name = self._nearest(vector) if any(self._windows.values()) else "c0"
        self._windows[name].append(_Member(self._arrived, id, vector))
        del self._windows[name][:-WINDOW]
        self._assigned[id] = name
        self._arrived += 1

    def _split(self, name: str) -> str | None:
        """Open a cluster for the smaller part of one that is no longer one hump; None where it still is."""
        window = self._windows[name]
        if len(self._windows) >= MOST:
            return None
        vectors = np.stack([m.vector for m in window])
        if not two_humps(vectors):
            return None
        second = _nearer_second(vectors, _two_means(vectors))
        stays = second.sum() > len(second) / 2
        opened = f"c{1 + max(int(known[1:]) for known in {*self._windows, *self._assigned.values()})}"
        self._windows[name] = [m for m, s in zip(window, second, strict=True) if s == stays]
        self._windows[opened] = [m for m, s in zip(window, second, strict=True) if s != stays]
        return opened

    def _settle(self) -> None:
        """Members go to the centre that is nearest now: some had joined before there was a better one."""
        centres = self._centres()
        moved: dict[str, list[_Member]] = {name: [] for name in self._windows}
        for member in [m for window in self._windows.values() for m in window]:
            name = list(moved)[int(((centres - member.vector) ** 2).sum(1).argmin())]
            bisect.insort(moved[name], member, key=lambda m: m.arrived)
            self._assigned[member.id] = name
        self._windows = {name: window[-WINDOW:] for name, window in moved.items() if window}

    def _change(self, batch: int, ids: list[str]) -> int | None:
        """Counted anew from all batches since the last change: a split puts earlier examples into other clusters."""
        self._since_change = [*self._since_change, ids][-HISTORY:]
        names = sorted({self._assigned[i] for some in self._since_change for i in some})
        counts_H_K = np.array(
            [[sum(self._assigned[i] == name for i in some) for name in names] for some in self._since_change]
        )
        probability, ago = recent_change(counts_H_K)
        if probability <= 0.5:
            return None
        self._since_change = self._since_change[-ago:]
        return batch + 1 - ago

    # State

    def state_dict(self) -> dict[str, Any]:
        """JSON and tensors (see tree.py)."""
        return {
            "embedder": self._embedder.name,
            "windows": {
                name: {
                    "arrived": [m.arrived for m in window],
                    "ids": [m.id for m in window],
                    "vectors": torch.from_numpy(np.stack([m.vector for m in window])),
                }
                for name, window in self._windows.items()
            },
            "assigned": dict(self._assigned),
            "since_change": [list(ids) for ids in self._since_change],
            "arrived": self._arrived,
            "observed": self.observed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what `state_dict` did not give."""
        self._windows = {
            name: [
                _Member(arrived, id, vector)
                for arrived, id, vector in zip(w["arrived"], w["ids"], w["vectors"].numpy(), strict=True)
            ]
            for name, w in state["windows"].items()
        }
        self._assigned = dict(state["assigned"])
        self._since_change = [list(ids) for ids in state["since_change"]]
        self._arrived, self.observed = state["arrived"], state["observed"]


def two_humps(vectors: Float[np.ndarray, "N D"]) -> bool:
    """Whether these points are more than one hump: along the axis between two means, taken from one half of them, the
    other half lies in two heaps so far apart that a flat hump would hardly ever look like it."""
    if len(vectors) < 2 * LEAST:
        return False
    halves = np.array_split(np.random.default_rng(len(vectors)).permutation(len(vectors)), 2)
    within = total = 0.0
    least = 0
    for here, there in (halves, halves[::-1]):
        means = _two_means(vectors[here])
        axis = means[1] - means[0]
        length = float(np.linalg.norm(axis))
        if length == 0.0:
            return False
        second = _nearer_second(vectors[there], means)
        along = vectors[there] @ (axis / length)
        parts = [along[second], along[~second]]
        least += min(map(len, parts))
        within += sum(float(((part - part.mean()) ** 2).sum()) for part in parts if len(part))
        total += float(((along - along.mean()) ** 2).sum())
    return least >= LEAST and within < flat_hump(len(vectors)) * total


@cache
def flat_hump(n: int) -> float:
    """The share of the spread that is left within two halves of n points of a flat hump, undercut in LEVEL of all cases
    (by simulation, always the same)."""
    points = np.random.default_rng(0).random((20_000, n)) - 0.5
    upper = points > 0
    within = np.zeros(len(points))
    for part in (upper, ~upper):
        size = np.maximum(part.sum(1), 1)
        mean = (points * part).sum(1) / size
        within += (((points - mean[:, None]) ** 2) * part).sum(1)
    share = within / ((points - points.mean(1, keepdims=True)) ** 2).sum(1)
    return float(np.quantile(share[np.minimum(upper.sum(1), n - upper.sum(1)) >= LEAST // 2], LEVEL))


def _two_means(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "2 D"]:
    """Lloyd's algorithm, started from the point furthest out and the one furthest from that."""
    first = vectors[((vectors - vectors.mean(0)) ** 2).sum(1).argmax()]
    means = np.stack([first, vectors[((vectors - first) ** 2).sum(1).argmax()]])
    for _ in range(20):
        second = _nearer_second(vectors, means)
        if second.all() or not second.any():
            break
        updated = np.stack([vectors[~second].mean(0), vectors[second].mean(0)])
        if np.array_equal(updated, means):
            break
        means = updated
    return means


def _nearer_second(vectors: Float[np.ndarray, "N D"], means: Float[np.ndarray, "2 D"]) -> np.ndarray:
    return ((vectors - means[1]) ** 2).sum(1) < ((vectors - means[0]) ** 2).sum(1)
