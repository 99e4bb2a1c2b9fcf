"""Route by a contextual bandit (LinUCB) that learns from the progress measured when an example returns."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastslow.core.seeding import derive_seed
from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import ROUTERS, number_arguments
from fastslow.routers.group import mean, rewards_by_context, spread

ACTIONS = (Route.BOTH, Route.FAST, Route.SLOW, Route.SKIP)
"""Routes in the order that breaks ties: without any evidence, both channels take an example."""

FEATURES = (
    "bias", "success", "uncertain", "between", "within", "sensitivity", "length", "entropy", "novelty", "age", "label",
)  # fmt: skip

COST = {Route.FAST: 1.5, Route.SLOW: 1.5, Route.BOTH: 2.0, Route.SKIP: 1.0}
"""Cost of a group by route, in units of the cost of its rollouts: the update, or the group's place in a fast phase,
adds about one half."""

NOISE = 0.2
"""Standard deviation of a measured gain per cost: that of the difference of two means of about eight binary rewards."""

PRIOR = 0.1
"""Prior standard deviation of the weights of a linear model: most features matter little."""

OPTIMISM = 1.0
"""UCB bonus of a route, in standard deviations of its expected gain (alpha of LinUCB). SKIP gets no bonus: the effect
of leaving an example alone needs no exploration."""

RIDGE = (NOISE / PRIOR) ** 2
TREND = 0.05
"""Smallest update rate of the running mean of all progress, the baseline that is subtracted from every gain."""

LONG = 256.0
"""Completion length, in tokens, at which the feature `length` is 1."""


@ROUTERS.register("learned")
class LearnedRouter:
    """Choose the route with the highest expected gain plus UCB bonus (spec `learned:exploration`).

    Each route has a Bayesian linear model (ridge regression) from the features of a group to the gain per cost. The
    gain is the change of an example's success rate until the example returns, minus the running mean of all such
    changes. A rarely tried route gets a larger UCB bonus (LinUCB: Li et al. 2010, arXiv 1003.0146). A share
    `exploration` (0.1) of the groups takes a random route, so that every model keeps learning. Examples that never
    return teach nothing: on a stream without repetition this rule stays at BOTH.
    """

    name = "learned"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        (self._exploration,) = number_arguments(self.name, arguments, defaults=(0.1,), limits=((0.0, 1.0),))
        self._seed = seed
        self._precision = {route: RIDGE * np.eye(len(FEATURES)) for route in ACTIONS}
        self._moment = {route: np.zeros(len(FEATURES)) for route in ACTIONS}
        self._trend = 0.0
        self._returned = 0
        self._last: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, int] = {}

    def route(self, evidence: GroupEvidence) -> Route:
        if not any(r is not None for r in evidence.rewards_G):
            return Route.SKIP
        rng = random.Random(derive_seed(self._seed, "explore", evidence.step, evidence.example_id))
        if rng.random() < self._exploration:
            return rng.choice(ACTIONS)
        gains = self._expected_gains(self._features(evidence))
        return max(ACTIONS, key=lambda route: gains[route][0] + gains[route][1])

    def explain(self, evidence: GroupEvidence) -> dict[str, Any]:
        """Return the expected gain (`gain`) and the UCB bonus (`doubt`) of each route, and the features behind both."""
        if not any(r is not None for r in evidence.rewards_G):
            return {"why": "unscored"}
        features = self._features(evidence)
        gains = self._expected_gains(features)
        best = max(ACTIONS, key=lambda route: gains[route][0] + gains[route][1])
        return {
            "gain": {route.value: round(gains[route][0], 4) for route in ACTIONS},
            "doubt": {route.value: round(gains[route][1], 4) for route in ACTIONS},
            "explored": self.route(evidence) is not best,
            "features": {name: round(float(x), 4) for name, x in zip(FEATURES, features, strict=True)},
        }

    def observe(self, evidence: GroupEvidence, route: Route) -> None:
        """Credit the route taken at the example's last visit with the progress since, then remember this visit."""
        groups = rewards_by_context(evidence)
        if not groups:
            return
        now = mean([r for scored in groups.values() for r in scored])
        before = self._last.get(evidence.example_id)
        features = self._features(evidence)
        if before is not None and before["step"] == evidence.step:
            return  # a second group of the same step: no update lies between the two
        if before is not None:
            progress = now - before["success"]
            taken, x = Route(before["route"]), np.array(before["features"])
            self._precision[taken] += np.outer(x, x)
            self._moment[taken] += x * (progress - self._trend) / COST[taken]
            self._returned += 1
            self._trend += max(TREND, 1.0 / self._returned) * (progress - self._trend)
        self._last[evidence.example_id] = {
            "step": evidence.step, "success": now, "route": route.value, "features": features.tolist(),
        }  # fmt: skip
        self._labels[evidence.task] = self._labels.get(evidence.task, 0) + 1

    def _features(self, evidence: GroupEvidence) -> np.ndarray:
        """Return the features in the order of FEATURES, each about in [0, 1], so that one ridge penalty suits all."""
        groups = rewards_by_context(evidence)
        rewards = [r for scored in groups.values() for r in scored]
        means, parts = [mean(scored) for scored in groups.values()], spread(groups)
        rate = mean(rewards)
        before = self._last.get(evidence.example_id)
        age = max(0, evidence.step - before["step"]) if before else 0
        lengths, surprisals = sorted(evidence.completion_tokens_G), sorted(evidence.surprisals_G)
        return np.array(
            [
                1.0,
                rate,
                4.0 * rate * (1.0 - rate),
                max(0.0, parts.between or 0.0) * 4.0,
                (parts.within or 0.0) * 4.0,
                max(means) - min(means),
                math.log1p(mean(lengths)) / math.log1p(LONG),
                min(2.0, mean(surprisals)) if surprisals else 0.0,
                0.0 if before else 1.0,
                math.log1p(age) / 5.0,
                1.0 / (1.0 + self._labels.get(evidence.task, 0)),
            ]
        )

    def _expected_gains(self, features: np.ndarray) -> dict[Route, tuple[float, float]]:
        """Return (expected gain per cost, UCB bonus) of each route."""
        gains = {}
        for route in ACTIONS:
            solved = np.linalg.solve(self._precision[route], np.stack([self._moment[route], features], axis=1))
            deviation = NOISE * math.sqrt(max(0.0, float(features @ solved[:, 1])))
            gains[route] = float(features @ solved[:, 0]), 0.0 if route is Route.SKIP else OPTIMISM * deviation
        return gains

    def state_dict(self) -> dict[str, Any]:
        return {
            "precision": {route.value: self._precision[route].tolist() for route in ACTIONS},
            "moment": {route.value: self._moment[route].tolist() for route in ACTIONS},
            "trend": self._trend,
            "returned": self._returned,
            "last": {name: dict(seen) for name, seen in self._last.items()},
            "labels": dict(self._labels),
        }

    def begin_anew(self) -> None:
        """Forget when each example was visited last: those of another run may bear the same names."""
        self._last = {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._precision = {route: np.array(state["precision"][route.value]) for route in ACTIONS}
        self._moment = {route: np.array(state["moment"][route.value]) for route in ACTIONS}
        self._trend, self._returned = float(state["trend"]), int(state["returned"])
        self._last = {name: dict(seen) for name, seen in state["last"].items()}
        self._labels = dict(state["labels"])
