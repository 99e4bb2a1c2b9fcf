"""What TRL's training loop needs from its caller: a source of steps, and a listener for what happens between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import TrainerCallback

from fastslow.core.types import Example, Rollout


@dataclass(frozen=True)
class StepBatch:
    """The data of one optimiser step, the same on every process.

    Attributes:
        examples: the problems of the step's B groups.
        rollouts: N = B x G scored rollouts, group by group; none where the step trains no weights.
        slow_B: for each group, whether it trains the weights.
        parts_N: rollouts whose rewards are compared with each other share a number; None: those of a problem.
        problems_B: groups of one problem share a number below B; None: each has a problem of its own.
        imitated_N: rows whose completions are made likelier as they are, with advantage 1; no other row counts. None:
            advantages come from the rewards.
        teacher_prompts_N: tokens under which the model itself judges the completion of each row, token by token; a row
            with None teaches nothing. None: advantages come from the rewards.
        penalties_N: what each row loses of its reward by its length; None: nothing.
        off_policy: whether some rollouts were sampled before this step, or by another program, so that every ratio is
            to the policy that sampled.
        beta: coefficient of the KL term in this step.
        advantage_scale: factor on every advantage in this step.
        rate: learning rate of this step as a multiple of the run's, whatever its schedule says; None: the schedule's.
    """

    examples: tuple[Example, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    slow_B: tuple[bool, ...] = ()
    parts_N: tuple[int, ...] | None = None
    problems_B: tuple[int, ...] | None = None
    imitated_N: tuple[bool, ...] | None = None
    teacher_prompts_N: tuple[tuple[int, ...] | None, ...] | None = None
    penalties_N: tuple[float, ...] | None = None
    off_policy: bool = False
    beta: float = 0.0
    advantage_scale: float = 1.0
    rate: float | None = None

    @property
    def alone_N(self) -> tuple[bool, ...] | None:
        """Rows that have an advantage without any comparison, where no other row counts."""
        if self.teacher_prompts_N is not None:
            return tuple(prompt is not None for prompt in self.teacher_prompts_N)
        return self.imitated_N

    @property
    def rewards_N(self) -> Float[Tensor, " N"]:
        """Rewards as TRL computes with them: less what length costs, fp32, NaN where unscored."""
        return torch.tensor([math.nan if reward is None else reward for reward in self.rewards])

    @property
    def rewards(self) -> list[float | None]:
        """Rewards less what length costs; None where unscored."""
        rewards = [rollout.verdict.reward for rollout in self.rollouts]
        if self.penalties_N is None:
            return rewards
        pairs = zip(rewards, self.penalties_N, strict=True)
        return [None if reward is None else reward - penalty for reward, penalty in pairs]

    @property
    def examples_N(self) -> list[Example]:
        """The problem of each rollout."""
        group = len(self.rollouts) // len(self.examples)
        return [example for example in self.examples for _ in range(group)]


class StepSource(Protocol):
    """The source of the steps."""

    def next_step(self, step: int) -> StepBatch:
        """Return the batch of optimiser step `step`, counted from 0. Every process calls this once a step."""
        ...


class Listener(Protocol):
    """An object that is called between the steps. Every method is called on every process."""

    def step_begins(self) -> None:
        """Prepare for a step: called before each one."""
        ...

    def step_ends(self) -> bool:
        """Finish a step: called after each one; return True to stop training there and save."""
        ...

    def weights_change_next(self) -> None:
        """Prepare for a change of the weights: called right before the optimiser steps."""
        ...

    def kl_measured(self, kl: float, tokens: int) -> None:
        """Take note of the KL per token (nats) to the base over a micro-batch and of its tokens, of all processes."""
        ...

    def rows_planned(self, rows: int, tokens: int) -> None:
        """Take note of the rows that a step trains on, and of their completion tokens, of all processes."""
        ...

    def measure(self) -> dict[str, float]:
        """Measure the current weights; return what to log, each name beginning with `eval_`."""
        ...

    def keeps(self, step: int) -> bool:
        """Return whether the weights of `step` must be saved, whatever the schedule of checkpoints says."""
        ...

    def save(self) -> None:
        """Save: called where a checkpoint is due."""
        ...


class NoListener:
    """Do nothing: for steps outside of a run."""

    def step_begins(self) -> None:
        return None

    def step_ends(self) -> bool:
        return False

    def weights_change_next(self) -> None:
        return None

    def kl_measured(self, kl: float, tokens: int) -> None:
        return None

    def rows_planned(self, rows: int, tokens: int) -> None:
        return None

    def measure(self) -> dict[str, float]:
        return {}

    def keeps(self, step: int) -> bool:
        return False

    def save(self) -> None:
        return None


class Moments(TrainerCallback):
    """Pass on to the listener the events that transformers tells a callback only, not a method of the trainer."""

    def __init__(self, trainer: Any):
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.saved.restore_counters()
        self._trainer.saved_by_process.restore_metrics()
        self._trainer.adapter.begin(self._model, self._trainer.steps_done)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._is_between_steps():
            self._trainer.listener.step_begins()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.listener.weights_change_next()
        if self._trainer.step_rate is not None:  # the schedule sets that of the next step anew
            for group in kwargs["optimizer"].param_groups:
                group["lr"] = group["initial_lr"] * self._trainer.step_rate
        if self._trainer.critic is not None:  # after the copies that a checkpoint under way may need
            self._trainer.note(self._trainer.critic.learn())
        if self._trainer.soft is not None:
            self._trainer.note(self._trainer.soft.learn())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._is_between_steps():
            return
        self._trainer.adapter.step_ended(self._trainer, self._trainer.steps_done)
        if self._trainer.listener.step_ends():
            control.should_training_stop = control.should_save = True

    @property
    def _model(self) -> Any:
        return self._trainer.accelerator.unwrap_model(self._trainer.model)

    def _is_between_steps(self) -> bool:
        """Return whether all updates of a step are done: transformers takes each for a step."""
        return self._trainer.state.global_step % self._trainer.updates == 0
