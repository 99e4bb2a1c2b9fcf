"""Keep a budget for the distance of the weights from the base: the KL coefficient follows the measured KL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

AIM = 0.85
"""Share of the target that the controller steers for; the rest is a margin for noise."""

FREE, HARD_STOP = 0.7, 0.95
"""Shares of the target: rewards count in full below the first and not at all above the second."""

HORIZON = 5
"""Steps for which the weights go on as they were moving (Adam's momentum): braking begins that much earlier."""

PROPORTIONAL, DOWN, UP = 1.0, 0.1, 6.0
"""Gains; the integral one by the sign of the error, because too far from the base is worse than too near."""

SLOWEST, FASTEST = -0.2, 2.0
"""Limits of one step's change of log(beta), which falls slowly and rises fast."""

LOWEST, HIGHEST = 1e-2, 1e4
"""Limits of beta as multiples of its initial value."""

MEMORY = 4
"""Steps over which the measured KL is smoothed."""


class KLBudget:
    """Keep the KL per token to the base model within `target` (nats), by two means.

    `beta`, the coefficient of the KL term, is multiplied each step by a PI law on the relative error, as PPO's adaptive
    coefficient is (Ziegler et al. 2019, arXiv 1909.08593, section 2.2, there proportional alone). Because that needs
    some steps to bite, `brake` in [0, 1] also scales the advantages: 1 up to 70 % of the target, 0 from 95 % on, where
    the KL term alone moves the weights, towards the base. One low measurement does not release the brake: it goes by
    the newest or the smoothed KL, whichever is higher.

    The KL is TRL's estimate on the rollouts that train the weights: sampled tokens, k3 (Schulman 2020).
    """

    def __init__(self, target: float, beta: float):
        self.target = target
        self.beta = self._start = beta
        self._smooth: float | None = None
        self._error = 0.0
        self._newest = self._rise = 0.0

    @property
    def brake(self) -> float:
        """Factor of the advantages."""
        level = max(self._newest, self._smooth or 0.0) + HORIZON * max(0.0, self._rise)
        return min(1.0, max(0.0, (HARD_STOP - level / self.target) / (HARD_STOP - FREE)))

    def update(self, kl: float) -> None:
        """Take note of the KL per token (nats) measured in one step; a value that is not finite counts as not
        measured."""
        if not math.isfinite(kl):
            return
        self._newest = kl
        before = kl if self._smooth is None else self._smooth
        self._smooth = before + (kl - before) / MEMORY
        self._rise += (self._smooth - before - self._rise) / MEMORY
        # Errors are limited to 100 %: a first step at KL 0 must not wind the integral up.
        error = max(-1.0, min(1.0, self._smooth / (AIM * self.target) - 1.0))
        change = PROPORTIONAL * (error - self._error) + (UP if error > 0 else DOWN) * error
        self._error = error
        beta = self.beta * math.exp(max(SLOWEST, min(FASTEST, change)))
        self.beta = min(HIGHEST * self._start, max(LOWEST * self._start, beta))

    def state_dict(self) -> dict[str, Any]:
        names = ("_smooth", "_rise", "_error", "_newest")
        return {"beta": self.beta, **{name[1:]: getattr(self, name) for name in names}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.beta, self._smooth, self._rise = state["beta"], state["smooth"], state["rise"]
        self._error, self._newest = state["error"], state["newest"]
