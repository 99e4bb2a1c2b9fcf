"""The settings of the slow channel: loss, optimiser, memory, and what keeps the weights near what they learned."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, inherited, setting

MOST_RATE = 10.0
"""Highest learning rate: more is a typing error, such as 1e5 for 1e-5."""
LOSSES = ("cispo", "grpo", "bnpo", "dapo", "dr_grpo", "luspo", "sapo", "vespo")
ONE_LEVEL = {"cispo": "token", "vespo": "token", "luspo": "sequence"}
"""Losses that are defined for importance ratios of one level. (VESPO's kernel is of the sequence whatever the level is,
which is that of its KL term alone.)"""


@dataclass
class SlowSettings(SettingsGroup):
    """How the weights are trained: loss, KL term, optimiser, adapters, memory."""

    title = "Slow channel"

    loss_type: str = setting(
        "cispo", f"Loss: {', '.join(LOSSES)}. The paper uses CISPO.", choices=LOSSES, channel="slow"
    )
    loss_aggregation: str = setting(
        "problem",
        "'problem': every problem's tokens weigh the same (the paper); 'token': every token does (TRL). "
        "For cispo, dapo and vespo; the other losses keep their own.",
        choices=("problem", "token"),
        channel="slow",
    )
    advantage_group: str = setting(
        "problem",
        "Rollouts that are compared: all of a 'problem', across contexts (the paper), or those of a 'context' only.",
        choices=("problem", "context"),
        channel="fast",  # without contexts beside each other, both are the same
    )
    overlong_buffer: int = setting(
        0,
        "The last tokens before max_completion_length, over which an answer loses up to overlong_penalty of its reward "
        "(DAPO's soft punishment); 0: length costs nothing. Contexts are judged without it.",
        unit="tokens", at_least=0, channel="slow",
    )  # fmt: skip
    overlong_penalty: float = setting(
        1.0, "What an answer of max_completion_length loses with overlong_buffer.", at_least=0, channel="slow",
    )  # fmt: skip
    prefix_gradient: str = setting(
        "full",
        "'full': the gradient passes through the tokens of a context (the paper); 'stop': their keys and values are "
        "constants, which saves their backward pass and learns to answer under a context as it is read now.",
        choices=("full", "stop"),
        channel="slow",
    )
    epsilon_high: float | None = setting(
        None,
        "CISPO: absolute upper bound of the importance ratio, at least 1, default 4 as in the paper. Other losses: the "
        "distance above 1 at which they clip, default epsilon.",
        at_least=0,
        channel="slow",
    )
    epsilon: float = inherited(
        0.2, "Distance below 1 of the importance ratio at which losses that clip do so.", at_least=0,
        channel="slow",
    )  # fmt: skip
    importance_sampling_level: str | None = setting(
        None,
        "Importance ratios of each 'token', or one of each 'sequence', the geometric mean of its tokens': grpo with it "
        "is GSPO. Default: 'sequence' for luspo, which is defined so, else 'token'.",
        choices=("token", "sequence"),
        channel="slow",
    )
    beta: float = setting(
        1e-3, "Coefficient of the KL term to the base model (the paper's 1e-3); 0 saves its cost.", at_least=0,
        channel="slow",
    )  # fmt: skip
    kl_target: float | None = setting(
        None,
        "Budget for the KL to the base model: beta is steered to keep it, and advantages are scaled down near it.",
        unit="nats per token",
        above=0,
        channel="slow",
    )
    learning_rate: float | None = setting(
        None, "Default by size: 1e-5 below 0.5B, 3e-6 below 3B, else the paper's 1e-6.", at_least=0,
        at_most=MOST_RATE, channel="slow",
    )  # fmt: skip
    lr_scheduler_type: str = setting("constant_with_warmup", "As in the paper: constant after warm-up.", channel="slow")
    warmup_steps: float = setting(
        10, "Warm-up of the learning rate (the paper's 10).", unit="optimiser steps", at_least=0, whole=True,
        channel="slow",
    )  # fmt: skip
    max_grad_norm: float = inherited(
        1.0, "Norm to which larger gradients are clipped; 0 clips none.", at_least=0, channel="slow"
    )
    lora_r: int = setting(
        0, "Rank of adapters on all linear layers; 0 trains every weight.", at_least=0, channel="slow"
    )
    lora_alpha: int = setting(32, "Scale of the LoRA adapters.", above=0, channel="slow")
    adapter: str = setting(
        "lora",
        "What lora_r trains of each weight: a 'lora' update; 'jumplora', its entries above a learned threshold; "
        "'shira', as many entries at random; 'osf', the smallest singular directions; 'corda', lora from directions "
        "that the training questions use least.",
        choices=("lora", "jumplora", "shira", "osf", "corda"), channel="slow",
    )  # fmt: skip
    adapter_stages: str = setting(
        "one",
        "LoRA adapters of a stream with stages: 'one' for all; a new one each stage on a 'stack' of frozen ones; or "
        "one on the base alone each stage, and their updates 'merge' by TIES.",
        choices=("one", "stack", "merge"), channel="slow",
    )  # fmt: skip
    num_iterations: int = inherited(
        1, "Updates from each step's rollouts (the paper's 1); above 1, ratios are to the policy that sampled.",
        unit="updates", at_least=1, at_most=1000, channel="slow",
    )  # fmt: skip
    per_device_train_batch_size: int = setting(
        32, "Rollouts per forward and backward; lowered to divide the batch. Bounds memory, not the result.",
        unit="rollouts", at_least=1, incidental=True,
    )  # fmt: skip
    packing: str = setting(
        "auto",
        "Train on rollouts as token trees, shared tokens once: 'auto' where exact, 'on', or 'off' (padded rows).",
        choices=("auto", "on", "off"),
    )
    gradient_checkpointing: bool = setting(False, "Trade compute for memory; off, because it changes no result.")

    def check(self) -> None:
        """Refuse a bound below 1 of CISPO's ratio, ratios of a level that the loss has not, a KL budget without a KL
        term, and kinds of adapters without adapters. Raises BadInput."""
        if self.loss_type == "cispo" and self.epsilon_high is not None and self.epsilon_high < 1.0:
            raise BadInput(
                f"epsilon_high is the upper bound of CISPO's importance ratio and must be at least 1, "
                f"got {self.epsilon_high}; the paper uses 4."
            )
        only = ONE_LEVEL.get(self.loss_type, self.importance_sampling_level)
        if self.importance_sampling_level not in (None, only):
            raise BadInput(
                f"importance_sampling_level '{self.importance_sampling_level}' is not for loss_type "
                f"'{self.loss_type}', which is defined with '{only}': leave it out, or take another loss_type, such as "
                "grpo, which with 'sequence' is GSPO."
            )
        if self.kl_target is not None and not self.beta > 0:
            raise BadInput(f"kl_target ({self.kl_target}) steers beta, and needs a beta above 0 to begin with.")
        self._check_adapter()

    def _check_adapter(self) -> None:
        for name, usual in (("adapter", "lora"), ("adapter_stages", "one")):
            value = getattr(self, name)
            if value != usual and not self.lora_r:
                raise BadInput(f"{name} '{value}' is about adapters, and lora_r is 0: set lora_r, their rank, e.g. 8.")
        if self.adapter_stages != "one" and self.adapter != "lora":
            raise BadInput(
                f"adapter_stages '{self.adapter_stages}' is for LoRA: leave adapter at lora, or adapter_stages at one."
            )


@dataclass
class CriticSettings(SettingsGroup):
    """What takes the place of comparing the rollouts of a problem."""

    title = "Critic"

    advantages: str = setting(
        "group",
        "What a reward is compared with: those of the 'group' (the paper), or what a 'critic' expected at each token "
        "(PPO with a loss that clips); then groups may be of one.",
        choices=("group", "critic"), channel="slow",
    )  # fmt: skip
    critic_learning_rate: float = setting(
        0.03, "Learning rate of the critic, a linear layer on hidden states of norm 1.", above=0, at_most=MOST_RATE,
        channel="slow",
    )  # fmt: skip
    critic_warmup_steps: int = setting(
        5, "First steps in which the critic alone learns.", unit="optimiser steps", at_least=0, channel="slow"
    )
    critic_lambda: float = setting(
        1.0, "Generalised advantage estimation: 1 trusts the rewards, 0 the critic.", at_least=0, at_most=1,
        channel="slow",
    )  # fmt: skip
    critic_clip: float = setting(
        0.2, "Farthest that the first value of a token moves in one step; acts where num_iterations is above 1.",
        above=0, channel="slow",
    )  # fmt: skip

    def check(self) -> None:
        """Refuse settings of a critic where there is none. Raises BadInput."""
        for f in fields(CriticSettings):
            if self.advantages != "critic" and getattr(self, f.name) != f.default:
                raise BadInput(f"{f.name} is about a critic, and advantages is 'group': set advantages to critic.")


@dataclass
class RetentionSettings(SettingsGroup):
    """What has to be kept of what was learned, and what happens where it is not."""

    title = "Retention"

    retention_floor: float | None = setting(
        None, "Part of the best accuracy of each task learned so far that has to be kept, judged at each evaluation.",
        unit="share", above=0, at_most=1,
    )  # fmt: skip
    retention_action: str = setting(
        "report",
        "What a fall below the floor does: 'report', 'kl' (doubles beta), 'rehearse' (doubles the share), 'rollback' "
        "(weights of the last evaluation without a fall, and doubles beta).",
        choices=("report", "kl", "rehearse", "rollback"),
    )
