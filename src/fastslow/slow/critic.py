"""Judge the tokens of an answer by a critic, instead of by the other rollouts of a problem (PPO, arXiv 1707.06347).

The critic is linear on the last hidden states of the model, which the forward over token trees has anyway: it costs no
forward of its own. No gradient passes from it into the model, so that the weights never move for its sake.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fastslow.core import processes
from fastslow.core.errors import BadInput


@dataclass(frozen=True)
class Judged:
    """What the critic said of the rows of a micro-batch before the first update from them, which later ones keep.

    values_B_T: the reward expected before each completion token.
    targets_B_T: what the critic should have said.
    gains_B_T: how much better each token made it.
    """

    values_B_T: Float[Tensor, "B T"]
    targets_B_T: Float[Tensor, "B T"]
    gains_B_T: Float[Tensor, "B T"]


@dataclass(frozen=True)
class _Hearing:
    """A micro-batch whose forward is under way, and where the advantages belong that the loss reads after it."""

    part: Mapping[str, Any]
    advantages_B_T: Float[Tensor, "B T"]


class Critic:
    """Estimate the reward to come at every token, and learn from what came.

    Args:
        settings: those of the run, see `CriticSettings`.
        width: D, of the hidden states.
        device: of the model.
    """

    def __init__(self, settings: Any, *, width: int, device: torch.device):
        self._smoothing, self._clip = settings.critic_lambda, settings.critic_clip
        self._warmup = settings.critic_warmup_steps
        self._head = nn.utils.skip_init(nn.Linear, width, 1, device=device, dtype=torch.float32)
        for parameter in self._head.parameters():
            nn.init.zeros_(parameter)
        # Values chase rewards that rise from step to step: with the usual betas they swing about them for 50 steps.
        self._optimizer = torch.optim.AdamW(
            self._head.parameters(), lr=settings.critic_learning_rate, betas=(0.5, 0.9), weight_decay=0.0
        )
        self._hearing: _Hearing | None = None
        self._seen = Fit()

    # Within a step

    def warms_up(self, step: int) -> bool:
        """Return whether the weights rest in this step, because the critic knows too little yet."""
        return step < self._warmup

    @property
    def listens(self) -> bool:
        """Whether the forward under way is that of a micro-batch."""
        return self._hearing is not None

    @contextlib.contextmanager
    def judging(self, part: Mapping[str, Any]) -> Iterator[Float[Tensor, "B T"]]:
        """Yield the advantages of a micro-batch's tokens: they hold once `hear` was called, in its forward, which is
        before TRL's loss reads them.

        `part` is TRL's batch with `rewards` of its B rows, their `advantages` as factors on what the critic finds, and
        `judged`, an empty list, which keeps what it found for further updates.
        """
        advantages_B_T = torch.zeros_like(part["completion_mask"], dtype=part["advantages"].dtype)
        self._hearing = _Hearing(part, advantages_B_T)
        try:
            yield advantages_B_T
        finally:
            self._hearing = None

    def hear(self, hidden_U_D: Float[Tensor, "U D"], place_B_T: Int[Tensor, "B T"]) -> None:
        """Judge the rows under way, and take the gradient of the critic's own loss.

        Args:
            hidden_U_D: hidden states, without a graph.
            place_B_T: from which of them each completion token is predicted; -1 where a row has ended.
        """
        assert self._hearing is not None
        part, mask_B_T = self._hearing.part, _mask_of(self._hearing.part)
        with torch.enable_grad(), torch.autocast(hidden_U_D.device.type, enabled=False):
            values_U = self._head(features(hidden_U_D))[:, 0]
            values_B_T = values_U[place_B_T.clamp(min=0)].masked_fill(place_B_T < 0, 0.0)
            if not part["judged"]:
                part["judged"].append(self._judge(part["rewards"], values_B_T.detach(), mask_B_T))
            judged: Judged = part["judged"][0]
            loss_B_T = value_loss(values_B_T, judged, clip=self._clip)
            ((loss_B_T * mask_B_T).sum() / part["num_items_in_batch"]).backward()
        self._hearing.advantages_B_T.copy_(judged.gains_B_T * part["advantages"][:, None])

    def _judge(
        self, rewards_B: Float[Tensor, " B"], values_B_T: Float[Tensor, "B T"], mask_B_T: Int[Tensor, "B T"]
    ) -> Judged:
        gains_B_T = gains(rewards_B, values_B_T, mask_B_T, smoothing=self._smoothing)
        counted_B_T = mask_B_T.bool()
        self._seen.add(rewards_B[:, None].expand_as(values_B_T)[counted_B_T], values_B_T[counted_B_T])
        return Judged(values_B_T, values_B_T + gains_B_T, gains_B_T)

    def learn(self) -> dict[str, float]:
        """Take a step of the critic's optimiser by the gradients of all processes; return what to log of the tokens
        judged since the last call. Every process has to call this method."""
        weights = list(self._head.parameters())
        own = [None if weight.grad is None else weight.grad.cpu() for weight in weights]
        everywhere = processes.gather([(own, self._seen)])
        for i, weight in enumerate(weights):
            parts = [gradient for gradients, _ in everywhere if (gradient := gradients[i]) is not None]
            weight.grad = torch.stack(parts).sum(0).to(weight) if parts else None
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._seen = Fit()
        return Fit.of_all([seen for _, seen in everywhere]).shown()

    # A part of a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser."""
        return {"weights": self._head.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._head.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(dict(state["optimizer"]))


def critic_of(trainer: Any) -> Critic | None:
    """Return the critic of a trainer whose settings ask for one. Raises BadInput where it cannot see hidden states."""
    if trainer.args.advantages != "critic":
        return None
    base = trainer.accelerator.unwrap_model(trainer.model)
    problem = trainer.packing_problem or (
        "the load-balancing loss of a mixture of experts needs padded rows" if trainer.aux_loss_enabled else None
    )
    if problem:
        raise BadInput(
            f"advantages 'critic' reads the hidden states of token trees, but {problem}; leave advantages at group."
        )
    return Critic(trainer.args, width=base.config.get_text_config().hidden_size, device=trainer.accelerator.device)


def features(hidden_U_D: Float[Tensor, "U D"]) -> Float[Tensor, "U D"]:
    """Return hidden states centred and of norm 1: what a model's last norm leaves differs by orders of magnitude from
    model to model, and so would the learning rate that suits it."""
    width = hidden_U_D.shape[-1]
    return nn.functional.layer_norm(hidden_U_D.float(), (width,)) / width**0.5


def gains(
    rewards_B: Float[Tensor, " B"], values_B_T: Float[Tensor, "B T"], mask_B_T: Int[Tensor, "B T"], *, smoothing: float
) -> Float[Tensor, "B T"]:
    """Return generalised advantage estimates without discount, for a single reward after the last token; 0 beyond it.

    At a smoothing (lambda) of 1 they are the reward minus the value; at 0, how much the next value is above it. A
    truncated answer ends like any other: what it would have earned is not made up.

    Source: arXiv 1506.02438, equation 16.
    """
    if smoothing == 1.0:  # the steps add up: no loop over tokens
        return (rewards_B[:, None] - values_B_T) * mask_B_T
    after_B_T = nn.functional.pad(values_B_T[:, 1:], (0, 1))
    goes_on_B_T = nn.functional.pad(mask_B_T[:, 1:], (0, 1)).bool()
    step_B_T = torch.where(goes_on_B_T, after_B_T, rewards_B[:, None]) - values_B_T
    out_B_T, gain_B = torch.zeros_like(values_B_T), torch.zeros_like(rewards_B)
    for t in reversed(range(values_B_T.shape[1])):
        gain_B = (step_B_T[:, t] + smoothing * gain_B) * mask_B_T[:, t]
        out_B_T[:, t] = gain_B
    return out_B_T


def value_loss(values_B_T: Float[Tensor, "B T"], judged: Judged, *, clip: float) -> Float[Tensor, "B T"]:
    """Return half the squared error of every value, or of the value kept within `clip` of the first one where that is
    the larger.

    Source: arXiv 1707.06347, as in its authors' code.
    """
    near_B_T = judged.values_B_T + (values_B_T - judged.values_B_T).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_B_T - judged.targets_B_T) ** 2, (near_B_T - judged.targets_B_T) ** 2)


@dataclass
class Fit:
    """Sums over tokens: of their rewards, of the errors of their values, and of both squared."""

    tokens: int = 0
    reward: float = 0.0
    reward_squared: float = 0.0
    error: float = 0.0
    error_squared: float = 0.0

    def add(self, rewards_N: Float[Tensor, " N"], values_N: Float[Tensor, " N"]) -> None:
        """Count tokens with the rewards of their rows, and what the critic said of them."""
        rewards_N = rewards_N.double()
        errors_N = rewards_N - values_N.double()
        self.tokens += rewards_N.numel()
        self.reward += float(rewards_N.sum())
        self.reward_squared += float((rewards_N**2).sum())
        self.error += float(errors_N.sum())
        self.error_squared += float((errors_N**2).sum())

    @classmethod
    def of_all(cls, parts: list[Fit]) -> Fit:
        """Add up the sums of several processes."""
        return cls(
            tokens=sum(part.tokens for part in parts),
            reward=sum(part.reward for part in parts),
            reward_squared=sum(part.reward_squared for part in parts),
            error=sum(part.error for part in parts),
            error_squared=sum(part.error_squared for part in parts),
        )

    def shown(self) -> dict[str, float]:
        """Return what to log: mean value, root of the mean squared error, and the explained share of the rewards'
        variance, where they vary."""
        if not self.tokens:
            return {}
        out = {
            "fst/critic/value": (self.reward - self.error) / self.tokens,
            "fst/critic/error": (self.error_squared / self.tokens) ** 0.5,
        }
        variance = self.reward_squared / self.tokens - (self.reward / self.tokens) ** 2
        left = self.error_squared / self.tokens - (self.error / self.tokens) ** 2
        return out | ({"fst/critic/explained_variance": 1 - left / variance} if variance > 1e-9 else {})


def _mask_of(part: Mapping[str, Any]) -> Int[Tensor, "B T"]:
    """Return the tokens that a micro-batch's loss counts: rows that only keep a process in step have none."""
    mask_B_T: Tensor = part["completion_mask"]
    return mask_B_T * part["tool_mask"] if "tool_mask" in part else mask_B_T
