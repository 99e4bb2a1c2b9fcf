"""Runs a few steps under one or more processes and writes down what each rank saw. Called in each of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import TrainerCallback

from fastslow.cli.train import leave_processes
from fastslow.core import processes
from tests.support.runs import tiny_trainer
from tests.support.watch import LastBatch, grpo


class Witness(TrainerCallback):
    """Collects gradients before the first optimiser step, and the rollouts they came from."""

    def __init__(self, trainer) -> None:
        self.trainer = trainer
        self.last = LastBatch(trainer)
        self.grads: dict[str, torch.Tensor] = {}
        self.steps: list[dict] = []

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        trainer = self.trainer
        if not self.grads:
            model = trainer.model
            self.grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        self.steps.append(
            {
                "rollouts": [
                    {
                        "example_id": r.example_id,
                        "context_id": r.context_id,
                        "prompt_ids": list(r.prompt_ids),
                        "completion_ids": list(r.completion_ids),
                        "logprobs": list(r.logprobs),
                        "reward": r.verdict.reward,
                        "policy_version": r.policy_version,
                        "context_tokens": r.context_tokens,
                    }
                    for r in self.last.rollouts
                ],
                "advantages": list(grpo(trainer)._logs["advantages"])[-len(self.last.batch.rollouts) :],
                "population": trainer.population.to_json(),
                "fast_pool": sorted(trainer.cycle.state.fast_pool),
            }
        )


def main(path: str, name: str, **overrides) -> None:
    folder = Path(path)
    trainer = tiny_trainer(folder, output_dir=str(folder / name), **overrides)
    witness = Witness(trainer)
    trainer.add_callback(witness)
    start = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    rank = processes.rank()
    model = trainer.model
    torch.save(
        {"start": start, "grads": witness.grads, "end": {n: p.detach() for n, p in model.named_parameters()}},
        folder / f"{name}-{rank}.pt",
    )
    (folder / f"{name}-{rank}.json").write_text(json.dumps(witness.steps))
    leave_processes()
