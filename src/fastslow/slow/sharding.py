"""How the weights and the optimiser are cut up between processes, and what of that is refused.

accelerate decides by its own configuration, its environment or the settings `fsdp` and `deepspeed`. Where it does not
do what was asked for, it trains on whole copies without a word; here that is refused.
"""

from __future__ import annotations

import importlib.util
import os
from enum import Enum
from typing import Any

import torch
from accelerate.utils import DistributedType, fsdp2_prepare_model
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import PreTrainedModel

from fastslow.core.errors import BadInput
from fastslow.core.extras import how_to_install
from fastslow.core.modes import MODES
from fastslow.policy import shards

OPTIMISERS = ("adamw_torch", "adamw_torch_fused", "sgd")
"""Optimisers whose state has the shape of the weights, so that it is cut up as they are."""


class Sharding(Enum):
    """What every process holds a share of, by the name of the method."""

    NONE = "whole copies"
    FSDP2 = "FSDP2"
    ZERO2 = "ZeRO-2"

    @property
    def of_weights(self) -> bool:
        """Whether a process holds a share of the weights."""
        return self is Sharding.FSDP2

    @property
    def of_optimiser(self) -> bool:
        """Whether a process holds a share of the optimiser's state."""
        return self is not Sharding.NONE


def asked_for(args: Any) -> Sharding:
    """Return the sharding that settings or environment ask for. Raises BadInput for a method that does not work."""
    if args.deepspeed_plugin is not None:
        stage = args.deepspeed_plugin.zero_stage
        if stage != 2:
            raise BadInput(
                f"DeepSpeed ZeRO-{stage} is not supported: take stage 2, or FSDP2, which shards the weights as well "
                "(zero2-8gpu.yaml and fsdp2-8gpu.yaml in recipes/accelerate)."
            )
        return Sharding.ZERO2
    plugin = args.fsdp_plugin_args
    if plugin is None and not _says_yes("ACCELERATE_USE_FSDP"):
        return Sharding.NONE
    version = str((plugin or {}).get("fsdp_version") or os.environ.get("FSDP_VERSION") or 1)
    if version != "2":
        raise BadInput(f"FSDP{version} is not supported: set fsdp_version to 2 in accelerate's configuration.")
    return Sharding.FSDP2


def _refuse_steps_of_their_own(args: Any) -> None:
    """Raise BadInput for what changes a step between its gradient and the optimiser: DeepSpeed does both at once."""
    if args.advantages == "critic" and args.critic_warmup_steps:
        raise BadInput(
            "while a critic warms up the weights rest, and DeepSpeed's optimiser would move them: set "
            "critic_warmup_steps to 0, or train on whole copies (DDP)."
        )
    if MODES[args.mode].consolidates and args.consolidation_rate != 1.0:
        raise BadInput(
            "consolidation_rate would come too late for DeepSpeed, whose optimiser steps with the gradient: leave it "
            "at 1, or train on whole copies (DDP)."
        )


def refuse_sharding(args: Any) -> None:
    """Raise BadInput for a sharding that does not work, or not with these settings, before a model is loaded."""
    sharding = asked_for(args)
    if sharding is Sharding.NONE:
        return
    if args.lora_r and (args.adapter != "lora" or args.adapter_stages != "one"):
        named = f"adapter '{args.adapter}'" if args.adapter != "lora" else f"adapter_stages '{args.adapter_stages}'"
        raise BadInput(f"{named} does not work under {sharding.value}; take whole copies, or one LoRA adapter.")
    if sharding is Sharding.ZERO2:
        _refuse_steps_of_their_own(args)
    if "RANK" not in os.environ:
        raise BadInput(
            f"{sharding.value} was asked for, and there is one process alone; start several: accelerate launch "
            "--config_file FILE -m fastslow train ..."
        )
    if sharding is Sharding.ZERO2 and importlib.util.find_spec("deepspeed") is None:
        raise BadInput(f"DeepSpeed was asked for and is not installed: {how_to_install('deepspeed')}.")
    optimiser = getattr(args.optim, "value", args.optim)
    if optimiser not in OPTIMISERS:
        raise BadInput(f"optim '{optimiser}' does not work under {sharding.value}; take {' or '.join(OPTIMISERS)}.")
    if args.fp16:
        raise BadInput(f"fp16 does not work under {sharding.value}; take bf16.")
    if args.sync_ref_model:
        raise BadInput(f"sync_ref_model does not work under {sharding.value}; leave it at false.")


def active(trainer: Any) -> Sharding:
    """Return the sharding that accelerate does. Raises BadInput where it is not what was asked for."""
    wanted, accelerator = asked_for(trainer.args), trainer.accelerator
    kind = accelerator.distributed_type
    if kind == DistributedType.DEEPSPEED:
        found = Sharding.ZERO2
    else:
        found = Sharding.FSDP2 if accelerator.is_fsdp2 else Sharding.NONE
    if found is not wanted:
        raise BadInput(
            f"{wanted.value} was asked for and is not active: accelerate shards on accelerators only, and this is "
            f"{accelerator.device.type} ({kind.value}). Leave it out to train on whole copies."
        )
    if found is Sharding.FSDP2:
        _check_plugin(accelerator)
    return found


def _check_plugin(accelerator: Any) -> None:
    """Refuse options of FSDP2 that do not work here, and reduce gradients in fp32."""
    plugin = accelerator.state.fsdp_plugin
    offloads = plugin.cpu_offload is not None and type(plugin.cpu_offload).__name__ == "CPUOffloadPolicy"
    refused = {
        "fsdp_cpu_ram_efficient_loading": (
            plugin.cpu_ram_efficient_loading, "every process tries the model out before it is cut up",
        ),
        "fsdp_activation_checkpointing": (
            plugin.activation_checkpointing, "gradient_checkpointing true does the same",
        ),
        "fsdp_offload_params": (offloads, "it was never tried"),
    }  # fmt: skip
    for name, (on, why) in refused.items():
        if on:
            raise BadInput(f"{name} is not supported: {why}. Set it to false.")
    layout = accelerator.parallelism_config
    if layout is not None and set(layout.active_mesh_dims) - {"dp_shard"}:
        raise BadInput(f"of a parallelism_config only dp_shard is supported, not {layout.active_mesh_dims}.")
    policy = plugin.mixed_precision_policy
    if policy is not None:  # accelerate would sum gradients of all processes in bf16, which whole copies never do
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=policy.param_dtype, reduce_dtype=torch.float32, output_dtype=policy.output_dtype
        )


def frozen(trainer: Any, model: PreTrainedModel) -> PreTrainedModel:
    """Return a model that is not trained, prepared for forwards beside the trained one: cut up as that one is."""
    model = model.eval().requires_grad_(False)
    if trainer.sharding is Sharding.FSDP2 and not shards.is_sharded(model):
        cut: Any = fsdp2_prepare_model(trainer.accelerator, model)
        return cut
    return model


def _says_yes(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
