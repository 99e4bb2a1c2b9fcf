"""Serve rollouts that were made and scored elsewhere as TRL's rollout function and reward function in one, and count
its steps as TRL does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from datasets import Dataset
from trl.rewards import get_soft_overlong_punishment

from fastslow.core.types import Rollout
from fastslow.slow.hooks import StepBatch


class Replay:
    """Hand TRL the rollouts of this process, `rollouts` in row order, and their `rewards`."""

    def __init__(self) -> None:
        self.rollouts: Sequence[Rollout] = ()
        self.rewards: Sequence[float | None] = ()

    def take_up(self, batch: StepBatch, place: slice) -> Sequence[Rollout]:
        """Serve these rows of a step from now on, and return them."""
        self.rollouts, self.rewards = batch.rollouts[place], batch.rewards[place]
        return self.rollouts

    def roll_out(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """Serve as TRL's `rollout_func`; `logprobs` are the behaviour policy's."""
        served = {
            "prompt_ids": [list(rollout.prompt_ids) for rollout in self.rollouts],
            "completion_ids": [list(rollout.completion_ids) for rollout in self.rollouts],
            "logprobs": [list(rollout.logprobs) for rollout in self.rollouts],
        }
        if any(rollout.said for rollout in self.rollouts):  # TRL leaves the other tokens out of every term of the loss
            served["env_mask"] = [list(map(int, r.said or [True] * r.tokens)) for r in self.rollouts]
        return served

    def task(self, prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        """Serve as TRL's reward function, whose name TRL uses for its metrics; TRL reads None as unscored."""
        return list(self.rewards)


def length_penalties(rollouts: Sequence[Rollout], *, longest: int, buffer: int, most: float) -> tuple[float, ...]:
    """Return what each answer loses of its reward by its length, and an episode by that of its longest turn: nothing up
    to `buffer` tokens below the `longest`, then ever more, up to `most` (equation 13 of DAPO, arXiv 2503.14476)."""
    punish = get_soft_overlong_punishment(longest, buffer)
    return tuple(-most * share for share in punish([[0] * rollout.longest_turn for rollout in rollouts]))


def places(count: int) -> Dataset:
    """Return a dataset that makes TRL take the right number of steps; the source supplies the actual content."""
    place = Dataset.from_dict({"prompt": [[{"role": "user", "content": "."}]]})
    # One row for all: a run of days has millions of places.
    return cast(Dataset, place.select(np.zeros(count, dtype=np.int64)))


def counted_in_updates(args: Any) -> Any:
    """Return the settings with times in updates, as transformers counts them, where a step has several."""
    if args.num_iterations == 1:
        return args
    args = copy.copy(args)
    for name in ("max_steps", "eval_steps", "save_steps", "logging_steps"):
        setattr(args, name, getattr(args, name) * args.num_iterations)
    return args
