"""Keep the book of evidence: every scored rollout under a context counts for what is known of that context.

An anchor set of 16 questions knows a context's accuracy to some 12 points; a hundred slow rollouts of the same context
lie beside it. They cannot simply be averaged: questions differ in difficulty, weights move, and a context that many
hard questions were dealt to would look bad. So rewards are explained by a linear model with

- the level of all contexts together now, and how it moves with each optimiser step,
- for each context, by how much it lies above or below that level now, and how this edge moves,
- for each question under one version of the weights, how difficult it is.

Edges and difficulties are drawn towards 0 as far as little is known of them (a normal prior each), which also takes the
luck out of the best of many. Older rollouts fade. The uncertainty is that of questions: rollouts of one question are
not independent, so errors are added up by question before they are squared (Liang and Zeger 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fastslow.contexts.context import Context
from fastslow.core.texts import folded
from fastslow.core.types import Example, Rollout

EDGE = 0.25
"""Prior standard deviation of a context's edge, in reward."""

EDGE_SLOPE = 0.02
"""Prior standard deviation of the change of an edge with one optimiser step."""

LEVEL_SLOPE = 0.05
"""Prior standard deviation of the change of the common level with one optimiser step."""

DIFFICULTY = 0.3
"""Prior standard deviation of a question's difficulty."""

NOISE = 0.4
"""Standard deviation of one reward around its expectation; a coin's is 0.5 at most."""

FORGOTTEN = 5
"""Half-lives after which a rollout is dropped from the book: it would count for a thirtieth."""

BARREN = 60
"""Rollouts without any reward after which a context is dead."""


@dataclass(frozen=True)
class Entry:
    """Hold one scored rollout: the reward of a context on a question, under the weights after `version` steps.
    `topic` is the learner's name for the question's task."""

    context_id: str
    question: str
    version: int
    reward: float
    topic: str = ""


@dataclass(frozen=True)
class Standing:
    """Hold what the book says of one context: its expected reward now, the ends of the 95% interval, its change with an
    optimiser step, and the rollouts that it rests on, each weighed by its age."""

    context_id: str
    level: float
    low: float
    high: float
    slope: float
    rollouts: float


class Standings:
    """Fit what is known of every context at one moment.

    Args:
        entries: rollouts.
        now: optimiser steps behind the present weights.
        half_life: optimiser steps after which a rollout counts half.
    """

    def __init__(self, entries: Sequence[Entry], *, now: int, half_life: float):
        self.context_ids = sorted({entry.context_id for entry in entries})
        self._contexts = {c: i for i, c in enumerate(self.context_ids)}
        k = len(self._contexts)
        age_N = np.array([entry.version - now for entry in entries], dtype=np.float64)
        context_N = np.array([self._contexts[entry.context_id] for entry in entries], dtype=np.intp)
        weight_N = 0.5 ** (-age_N / half_life) / NOISE**2
        reward_N = np.array([entry.reward for entry in entries], dtype=np.float64) - 0.5
        self._barren = self._contexts.keys() - {entry.context_id for entry in entries if entry.reward > 0}
        self._count_K = np.bincount(context_N, minlength=k)
        self._weight_K = np.bincount(context_N, weight_N * NOISE**2, minlength=k)
        # Columns: the common level and its slope, then the edge of each context, then the slope of each edge.
        x = np.zeros((len(entries), 2 + 2 * k))
        rows = np.arange(len(entries))
        x[:, 0], x[:, 1] = 1, age_N
        x[rows, 2 + context_N], x[rows, 2 + k + context_N] = 1, age_N
        precision = np.array([1.0, LEVEL_SLOPE, *[EDGE] * k, *[EDGE_SLOPE] * k]) ** -2.0
        # Difficulties are many, and each touches its own rows alone: they are eliminated first (Schur's complement).
        cell_N = _numbered((entry.question, entry.version) for entry in entries)
        cell_C = np.bincount(cell_N, weight_N) + DIFFICULTY**-2.0
        shared = _summed(cell_N, weight_N[:, None] * x)
        mean = shared / cell_C[:, None]
        inverse = np.linalg.inv(x.T @ (weight_N[:, None] * x) + np.diag(precision) - shared.T @ mean)
        reward_C = np.bincount(cell_N, weight_N * reward_N)
        self._fit = inverse @ (x.T @ (weight_N * reward_N) - mean.T @ reward_C)
        difficulty_C = (reward_C - shared @ self._fit) / cell_C
        residual_N = weight_N * (reward_N - x @ self._fit - difficulty_C[cell_N])
        # The sandwich by question, with what the priors leave open in the middle.
        score = _summed(_numbered(entry.question for entry in entries), residual_N[:, None] * (x - mean[cell_N]))
        self._freedom = max(len(score) - 1, 1)
        middle = len(score) / self._freedom * score.T @ score + np.diag(precision) + DIFFICULTY**-2.0 * mean.T @ mean
        self._cov = inverse @ middle @ inverse

    def __contains__(self, context_id: object) -> bool:
        return context_id in self._contexts

    def dead(self, context_id: str) -> bool:
        """Return whether a context is known to earn nothing: not one of 60 rollouts did, so that by the rule of three
        fewer than one in twenty would."""
        return context_id in self._barren and self._count_K[self._contexts[context_id]] >= BARREN

    def of(self, context_id: str) -> Standing:
        """Return what is known of one context. Raises KeyError for one without rollouts."""
        i, k = self._contexts[context_id], len(self._contexts)
        at = np.zeros(len(self._fit))
        at[[0, 2 + i]] = 1
        level, half = 0.5 + float(at @ self._fit), self._half(at)
        slope = float(self._fit[1] + self._fit[2 + k + i])
        ends = np.clip([level, level - half, level + half], 0, 1).tolist()
        return Standing(context_id, *ends, slope=slope, rollouts=float(self._weight_K[i]))

    def ranked(self, context_ids: Iterable[str]) -> list[Standing]:
        """Return the standings of these contexts, the best first, without those that have no rollouts."""
        known = [self.of(context_id) for context_id in dict.fromkeys(context_ids) if context_id in self]
        return sorted(known, key=lambda one: (-one.level, one.context_id))

    def edge(self, first: str, second: str) -> tuple[float, float, float]:
        """Return by how much the first context lies above the second now, and the ends of the 95% interval."""
        at = np.zeros(len(self._fit))
        at[2 + self._contexts[first]] += 1
        at[2 + self._contexts[second]] -= 1
        difference, half = float(at @ self._fit), self._half(at)
        return difference, difference - half, difference + half

    def draws(
        self, context_ids: Sequence[str], *, ahead: float, count: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return draws from what is known of the contexts' expected rewards `ahead` optimiser steps from now,
        (count, K), unbounded. A context without rollouts is drawn around the common level."""
        k, size = len(self._contexts), len(self._fit)
        at = np.zeros((len(context_ids), size))
        at[:, 0], at[:, 1] = 1, ahead
        for row, context_id in enumerate(context_ids):
            if context_id in self._contexts:
                i = self._contexts[context_id]
                at[row, 2 + i], at[row, 2 + k + i] = 1, ahead
        unknown = [c not in self._contexts for c in context_ids]
        spread = at @ self._cov @ at.T + np.diag([EDGE**2 * u for u in unknown])
        return rng.multivariate_normal(0.5 + at @ self._fit, spread, size=count, method="eigh")

    def _half(self, at: NDArray[np.float64]) -> float:
        return float(stdtrit(self._freedom, 0.975)) * math.sqrt(max(float(at @ self._cov @ at), 0.0))


def _numbered(keys: Iterable[object]) -> NDArray[np.intp]:
    """Return a number for each key, in the order in which they first come."""
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.intp)


def _summed(group_N: NDArray[np.intp], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the rows of each group."""
    return np.stack([np.bincount(group_N, column) for column in rows.T], axis=1).astype(np.float64)


@dataclass
class Book:
    """Hold the scored rollouts of the last steps.

    Args:
        half_life: optimiser steps after which a rollout counts half.
    """

    half_life: float
    entries: list[Entry] = field(default_factory=list)

    def add(
        self,
        rollouts: Iterable[Rollout],
        examples: Mapping[str, Example],
        contexts: Mapping[str, Context],
        *,
        now: int,
        topic_of: Callable[[Example], str] = lambda example: "",
        alone: bool = False,
    ) -> None:
        """Enter rollouts and drop what has faded.

        Left out are unscored ones, those of contexts that are not known, and those on questions that their context
        shows as worked examples.

        Args:
            rollouts: of any source: anchor, minibatch, slow step.
            examples: those of the rollouts, by id.
            contexts: the contexts that are known, by id.
            now: optimiser steps behind the present weights.
            topic_of: the learner's name for an example's task.
            alone: whether a context answers a question but once under the same weights. Fast phases do: two of them
                before the same step make the same rollout twice.
        """
        known = {(entry.context_id, entry.question, entry.version) for entry in self.entries} if alone else set()
        shown = {c.id: {folded(worked.question) for worked in c.worked_examples} for c in contexts.values()}
        for rollout in rollouts:
            reward, example = rollout.verdict.reward, examples[rollout.example_id]
            if reward is None or rollout.context_id not in contexts:
                continue
            made = Entry(rollout.context_id, example.id, rollout.policy_version, reward, topic_of(example))
            if (made.context_id, made.question, made.version) in known:
                continue
            if folded(example.question) not in shown[rollout.context_id]:
                self.entries.append(made)
        self.entries = [entry for entry in self.entries if now - entry.version <= FORGOTTEN * self.half_life]

    def forget(self, after: int) -> None:
        """Drop the rollouts of weights that are gone: of versions above `after`."""
        self.entries = [entry for entry in self.entries if entry.version <= after]

    def standings(self, now: int, topics: Collection[str] = ()) -> Standings:
        """Return what is known of every context under the weights after `now` optimiser steps, on questions of these
        topics; of all without any."""
        entries = [entry for entry in self.entries if not topics or entry.topic in topics]
        return Standings(entries, now=now, half_life=self.half_life)

    def state_dict(self) -> list[list[Any]]:
        """Return the entries, a list of plain values each."""
        return [list(astuple(entry)) for entry in self.entries]

    def load_state_dict(self, state: Iterable[Sequence[Any]]) -> None:
        """Take up what `state_dict` returned."""
        self.entries = [Entry(*row) for row in state]
