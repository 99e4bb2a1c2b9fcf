"""Take the steps of CASES, and one of every algorithm, in each of several processes; keep what the first one saw."""

from __future__ import annotations

from pathlib import Path

import torch

from fastslow.core import processes
from tests.support.loss_bench import case_of, rollouts_with, truth_in
from tests.support.published_losses import ALGORITHMS
from tests.support.stock import PROBLEMS, ROWS, Case, Step, our_step, rollouts_of

AWAY = (False, False, True, True)  # the first half of the rows: one of two processes has nothing to do
TAUGHT = tuple(None if row % 5 == 3 else (7, 8, 9, 30 + row // 4) for row in range(ROWS))
"""Prompts of a teacher; the first process has other rows without one than the second."""
CASES = [
    Case({"loss_type": "cispo", "epsilon_high": 4.0, "entropy_coef": 0.2, "beta": 0.1}, seed=1),
    Case({"loss_type": "grpo", "entropy_coef": 0.2, "top_entropy_quantile": 0.37}, unscored=True, seed=2),
    Case({"loss_type": "bnpo", "entropy_coef": 0.2, "beta": 0.1}, batch={"slow_B": AWAY}, seed=3),
    Case(
        {"loss_type": "dr_grpo", "entropy_coef": 0.2, "top_entropy_quantile": 0.37, "mask_truncated_completions": True},
        {"per_device_train_batch_size": 2}, {"slow_B": (True,) * (PROBLEMS - 1) + (False,)}, seed=4,
    ),
    Case(
        {"loss_type": "grpo", "num_iterations": 3, "max_steps": 3, "beta": 0.1},
        {"advantages": "critic", "critic_warmup_steps": 0, "critic_lambda": 0.7, "max_steps": 1},
        {"slow_B": AWAY, "off_policy": True}, unscored=True, seed=5,
    ),
    Case({"loss_type": "grpo"}, {}, {"teacher_prompts_N": TAUGHT, "off_policy": True}, unscored=True, seed=6),
]  # fmt: skip

OFF_POLICY = [algorithm for algorithm in ALGORITHMS if not algorithm.own_rows]
"""The others are special cases of these."""


def steps_of(folder: Path) -> list[Step]:
    return [our_step(folder, case, rollouts_of(case)) for case in CASES]


def steps_of_algorithms(folder: Path) -> list[Step]:
    """Of the batch that test_losses.py has as well: padded rows and token trees in turn."""
    rollouts = rollouts_with(truth_in(folder).logp, seed=4)
    return [
        our_step(folder, case_of(algorithm, packing=("on", "off")[number % 2], per_device_train_batch_size=4), rollouts)
        for number, algorithm in enumerate(OFF_POLICY)
    ]


def main(folder: str) -> None:
    """Write two.pt."""
    target = Path(folder)
    taken = {"cases": steps_of(target), "algorithms": steps_of_algorithms(target)}
    losses = {of: processes.gather([[step.loss for step in steps]]) for of, steps in taken.items()}
    if processes.is_main():
        moved = {of: [step.moved for step in steps] for of, steps in taken.items()}
        torch.save({"moved": moved, "losses": losses}, target / "two.pt")
    processes.wait()
