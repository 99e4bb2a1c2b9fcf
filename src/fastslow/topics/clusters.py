"""Cluster questions as they arrive, to tell tasks apart without labels and without a hand-set distance.

A cluster is a window of its latest members; its centre is the mean of that window. An example joins the cluster with
the nearest centre. After every batch each cluster is tested for bimodality and is split where the test is positive:
splitting detects a new task, separates the tasks of the first batches, and needs no threshold. The idea is that
of G-means (Hamerly and Elkan 2003, "Learning the k in k-means"). The test here also works with more dimensions than
members: one half of the members gives the axis, the other half gives the verdict.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from fastslow.core.types import Example
from fastslow.topics.change_points import HAZARD, recent_change
from fastslow.topics.embedders import Embedder

WINDOW = 64
"""Members in the window of a cluster: enough to detect a small minority, few enough to follow a drift."""

LEVEL = 0.001
"""False positive rate of the test for bimodality on uniform points, the unimodal case hardest to tell from two
modes."""

LEAST = 4
"""Fewest members on either side of a split: two in each half, the smallest number with a variance."""

MOST = 64
"""Most clusters. Questions as varied as prose are split again and again; without a limit the state would only grow."""

HISTORY = round(1 / HAZARD)
"""Batches in which a change is looked for."""

CACHED = 4096
"""Vectors in the cache, so that a question is rarely embedded twice."""


@dataclass(frozen=True)
class Observation:
    """Describe one batch: the number of examples in each cluster, the clusters opened, and the change point, if any.

    `change` is the number of the first batch after the change, counted from 0 as `batch` is.
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
    """Group examples by the text of their questions. Batches are observed in order, each once.

    Nothing here is random: a run resumed from `state_dict` continues exactly.
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
        """Names of the clusters, in the order in which the clusters were opened."""
        return list(self._windows)

    def of(self, example: Example) -> str:
        """Return the cluster of an observed example, and the nearest one of any other; '' before the first batch."""
        if example.id in self._assigned:
            return self._assigned[example.id]
        return self.by_distance(example)[0] if self._windows else ""

    def by_distance(self, example: Example) -> list[str]:
        """Return all clusters, nearest centre first, whichever cluster the example belongs to."""
        distances = ((self._centres() - self.vectors([example])[0]) ** 2).sum(1)
        return [self.names[i] for i in np.argsort(distances, kind="stable")]

    def distance(self, example: Example, name: str) -> float:
        """Return the distance of the example's vector from the centre of a cluster: 0 at the centre, at most 2."""
        centre = self._centres()[self.names.index(name)]
        return float(np.linalg.norm(centre - self.vectors([example])[0]))

    def vectors(self, examples: Sequence[Example]) -> Float[np.ndarray, "N D"]:
        """Return the vectors of the examples' questions, one row an example."""
        wanted = list(dict.fromkeys(e.question for e in examples if e.question not in self._vectors))
        if len(self._vectors) + len(wanted) > CACHED:
            self._vectors.clear()
            wanted = list(dict.fromkeys(e.question for e in examples))
        self._vectors.update(zip(wanted, self._embedder.embed(wanted), strict=True))
        return np.stack([self._vectors[e.question] for e in examples])

    def observe(self, examples: Sequence[Example]) -> Observation:
        """Assign the examples of the next batch to clusters, split clusters, and look for a change point."""
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

    def begin_anew(self, prefix: str) -> None:
        """Keep the clusters for another stream, of which no batch was observed; the ids of earlier examples get a
        prefix, and no change is looked for across the two."""
        self._assigned = {prefix + id: name for id, name in self._assigned.items()}
        self._windows = {
            name: [replace(member, id=prefix + member.id) for member in window]
            for name, window in self._windows.items()
        }
        self._since_change, self.observed = [], 0

    # Joining and splitting

    def _centres(self) -> Float[np.ndarray, "C D"]:
        return np.stack([np.mean([m.vector for m in window], axis=0) for window in self._windows.values()])

    def _nearest(self, vector: Float[np.ndarray, " D"]) -> str:
        return list(self._windows)[int(((self._centres() - vector) ** 2).sum(1).argmin())]

    def _join(self, id: str, vector: Float[np.ndarray, " D"]) -> None:
        """Assign an example to the nearest cluster. A repeated example moves to the end of the window: standing there
        twice, it would count as a mode of its own."""
        for window in self._windows.values():
            window[:] = [m for m in window if m.id != id]
        self._windows = {name: window for name, window in self._windows.items() if window} or {"c0": []}
        name = self._nearest(vector) if any(self._windows.values()) else "c0"
        self._windows[name].append(_Member(self._arrived, id, vector))
        del self._windows[name][:-WINDOW]
        self._assigned[id] = name
        self._arrived += 1

    def _split(self, name: str) -> str | None:
        """Split a bimodal cluster and return the name of the new cluster, its smaller part; None for a unimodal one."""
        window = self._windows[name]
        if len(self._windows) >= MOST:
            return None
        vectors = np.stack([m.vector for m in window])
        if not is_bimodal(vectors):
            return None
        second = _nearer_second(vectors, _two_means(vectors))
        stays = second.sum() > len(second) / 2
        opened = f"c{1 + max(int(known[1:]) for known in {*self._windows, *self._assigned.values()})}"
        self._windows[name] = [m for m, s in zip(window, second, strict=True) if s == stays]
        self._windows[opened] = [m for m, s in zip(window, second, strict=True) if s != stays]
        return opened

    def _settle(self) -> None:
        """Reassign every member to its nearest centre: a member may have joined before a nearer one was opened."""
        centres = self._centres()
        moved: dict[str, list[_Member]] = {name: [] for name in self._windows}
        for member in [m for window in self._windows.values() for m in window]:
            name = list(moved)[int(((centres - member.vector) ** 2).sum(1).argmin())]
            bisect.insort(moved[name], member, key=lambda m: m.arrived)
            self._assigned[member.id] = name
        self._windows = {name: window[-WINDOW:] for name, window in moved.items() if window}

    def _change(self, batch: int, ids: list[str]) -> int | None:
        """Return the first batch after a change, or None. Counts are recomputed from all batches since the last change,
        because a split reassigns earlier examples."""
        self._since_change = [*self._since_change, ids][-HISTORY:]
        names = sorted({self._assigned[i] for batch_ids in self._since_change for i in batch_ids})
        counts_H_K = np.array(
            [[sum(self._assigned[i] == name for i in batch_ids) for name in names] for batch_ids in self._since_change]
        )
        probability, ago = recent_change(counts_H_K)
        if probability <= 0.5:
            return None
        self._since_change = self._since_change[-ago:]
        return batch + 1 - ago

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values and tensors (see files/nested_state.py)."""
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
        """Restore a state. Raises KeyError, TypeError or ValueError for anything that `state_dict` did not return."""
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


def is_bimodal(vectors: Float[np.ndarray, "N D"]) -> bool:
    """Return whether the points form two modes.

    Two means of one half of the points give an axis, and the other half is projected onto that axis; then the halves
    swap their parts. The points are bimodal where the variance within the two sides is a smaller share of the whole
    than for all but LEVEL of uniform samples of the same size.
    """
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
    return least >= LEAST and within < uniform_share(len(vectors)) * total


@cache
def uniform_share(n: int) -> float:
    """Return the LEVEL quantile of the share of the variance that remains within the two sides of n uniform points, cut
    at their centre. The value comes from a simulation with a fixed seed."""
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
    """Run Lloyd's algorithm for two means, from the point furthest from the mean and the point furthest from that
    one."""
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
