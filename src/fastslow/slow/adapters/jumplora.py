"""JumpLoRA: of a low-rank update only the entries that exceed a threshold, which is learned, change a weight.

Written from the description in arXiv 2604.16171. dW = B A as in LoRA; J(x) = x where |x| > tau, else 0; a layer
computes with W + s [f J(dW) + (1 - f) dW]. f is 0 in the first fifth of a stage, rises to 1 at four fifths, and stays.
At the end of a stage s J(dW) is added to W and a fresh dW starts.

Two things differ. tau is relative to the root mean square of dW: an absolute one, once set, is overtaken by the growth
of dW, and far more entries than the budget are alive at the end. And the width of the kernel by which tau learns is a
tenth of tau, not a constant: with RL's small updates all entries would lie within a constant of 1e-3.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from peft import PeftConfig
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from transformers import PreTrainedModel

from fastslow.core.seeding import derive_seed
from fastslow.costs.shape import adapted_layers
from fastslow.policy.plain import PARAMETRIZED, plain_copy
from fastslow.slow.adapters.base import AllWeights

OPENS, SHUT = 0.2, 0.8
"""Shares of a stage between which the gate goes from none to all of the update."""
KERNEL = 0.1
"""Width of the rectangle kernel, as a share of tau."""
LOG_TAU = -4.7
"""log tau until it is set, as described."""


class Jump(torch.autograd.Function):
    """Let entries through whose magnitude exceeds tau.

    The derivative by tau is that of the gate smoothed by a rectangle of width eps: -(tau / eps) sign(x) where |x| is
    within eps / 2 of tau. It is summed over the entries, so that it is the derivative of the loss.
    """

    @staticmethod
    def forward(ctx: Any, update: Tensor, tau: Tensor) -> Tensor:
        ctx.save_for_backward(update, tau)
        return torch.where(update.abs() > tau, update, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        update, tau = ctx.saved_tensors
        (gradient,) = gradients
        size = update.abs()
        near = (size - tau).abs() < KERNEL * tau / 2
        by_tau = -torch.where(near, gradient * update.sign(), 0.0).sum() / KERNEL  # tau / eps, also where tau is 0
        return torch.where(size > tau, gradient, 0.0), by_tau


class JumpUpdate(nn.Module):
    """The parametrization of one weight.

    Args:
        weight: the weight, m x n.
        rank, scale: of the update.
        seed: of the update's random factor.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float, seed: int):
        super().__init__()
        rows, columns = weight.shape
        like = {"dtype": weight.dtype, "device": weight.device}
        self.A = nn.Parameter(torch.empty(rank, columns, **like))
        self.B = nn.Parameter(torch.empty(rows, rank, **like))
        self.log_tau = nn.Parameter(torch.empty((), **like))
        self.budget = min(rank * (rows + columns), rows * columns)
        """Entries that are to stay alive: as many as LoRA has parameters."""
        self.scale, self.gate = scale, 0.0
        self.restart(seed)

    @torch.no_grad()
    def restart(self, seed: int) -> None:
        """Begin with an update of 0: A as peft starts it, from a seed, and B 0."""
        bound = 1 / math.sqrt(self.A.shape[1])  # Kaiming's uniform for a slope of sqrt(5)
        drawn = torch.rand(self.A.shape, generator=torch.Generator().manual_seed(seed))
        self.A.copy_((2 * drawn - 1) * bound)
        self.B.zero_()
        self.log_tau.fill_(LOG_TAU)

    def update(self) -> Float[Tensor, "m n"]:
        """Return dW."""
        return self.B @ self.A

    def tau(self, update: Tensor) -> Tensor:
        """Return the threshold for dW: the learned part times the root mean square, through which no gradient goes."""
        return self.log_tau.exp() * update.detach().square().mean().sqrt()

    def forward(self, weight: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
        with torch.autocast(weight.device.type, enabled=False):  # in bf16, entries near tau would flip
            update = self.update()
            jumped = Jump.apply(update, self.tau(update))
            return weight + self.scale * torch.lerp(update, jumped, self.gate)

    @torch.no_grad()
    def set_tau(self) -> None:
        """Set tau so that the budget is alive."""
        size = self.update().abs().flatten()
        rms = size.square().mean().sqrt()
        if not rms > 0:
            return  # nothing has been learned yet
        rest = size.numel() - self.budget
        least = torch.finfo(size.dtype).tiny
        tau = size.kthvalue(rest).values if rest else size.new_tensor(0.0)
        self.log_tau.copy_((tau / rms).clamp(min=least).log())

    def is_unset(self) -> bool:
        """Return whether tau was never set: nothing had been learned by the time."""
        return bool(self.log_tau == torch.full_like(self.log_tau, LOG_TAU))

    @torch.no_grad()
    def alive(self) -> int:
        """Return how many entries the gate lets through."""
        update = self.update()
        return int((update.abs() > self.tau(update)).sum())


class JumpLora(AllWeights):
    """Train an update by JumpLoRA in each stage, which is part of the weights from then on; whole weights ship."""

    edits_base = True

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        model.requires_grad_(False)
        for name, layer in adapted_layers(model):
            seed = derive_seed(self.args.seed, "jumplora", 0, name)
            update = JumpUpdate(layer.weight, self.args.lora_r, self.args.lora_alpha / self.args.lora_r, seed)
            register_parametrization(layer, "weight", update)
        return None

    def saves(self, name: str) -> bool:
        return PARAMETRIZED in name

    def begin(self, model: Any, step: int) -> None:
        for _, _, update in updates_of(model):
            update.gate = gate_after(self.stages.passed(step))

    def step_ended(self, trainer: Any, step: int) -> None:
        model, ends = trainer.accelerator.unwrap_model(trainer.model), self.stages.end(step)
        passed = 1.0 if ends else self.stages.passed(step)
        before = gate_after(self.stages.passed(step - 1))
        updates = [update for _, _, update in updates_of(model)]
        for update in updates:
            update.gate = gate_after(passed)
            if passed >= OPENS and (before < 1.0 or update.is_unset()):
                update.set_tau()
        if gate_after(passed):
            trainer.note({"fst/jumplora/alive": sum(u.alive() for u in updates) / sum(u.budget for u in updates)})
        if ends:
            self._end_stage(trainer, model, step)

    @torch.no_grad()
    def _end_stage(self, trainer: Any, model: Any, step: int) -> None:
        """Add the updates to the weights and start fresh ones, of which the optimiser knows nothing yet."""
        for name, layer, update in updates_of(model):
            layer.parametrizations.weight.original.copy_(layer.weight)
            update.restart(derive_seed(self.args.seed, "jumplora", step // self.stages.steps, name))
            update.gate = 0.0
            for weight in update.parameters():
                trainer.optimizer.state.pop(weight, None)

    def shipped(self, model: Any) -> PreTrainedModel:
        return plain_copy(model)


def gate_after(passed: float) -> float:
    """Return how far the gate is shut, 0 to 1, after a share of the stage."""
    return min(1.0, max(0.0, (passed - OPENS) / (SHUT - OPENS)))


def updates_of(model: nn.Module) -> list[tuple[str, Any, JumpUpdate]]:
    """Return name, layer and update of every weight that has one."""
    return [
        (name, layer, layer.parametrizations.weight[0])  # pyrefly: ignore[missing-attribute]
        for name, layer in model.named_modules()
        if hasattr(layer, "parametrizations")
    ]
