"""Compare, before a run writes anything, the disk and memory that the run needs at least with what there is.

Counted is what is certain: weights, gradients and the optimiser's moments in fp32, the base model that the KL is
measured against, checkpoints and bundle. Activations, caches and logs come on top.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fastslow.config.settings import FastSlowConfig, compute_type, foreign_settings
from fastslow.core.errors import BadInput
from fastslow.core.machine import all_processes, memory_of, processes_here
from fastslow.core.modes import MODES
from fastslow.policy.loading import describe_model, loading, resolve_model
from fastslow.slow.rehearsal import rehearse
from fastslow.slow.sharding import asked_for, refuse_sharding

FP32 = 4
# Moments of every trained weight, in fp32, by optimiser; of an optimiser that is not listed none are certain.
MOMENTS = {"adamw_torch": 2, "adamw_torch_fused": 2, "adafactor": 0, "sgd": 0}


@dataclass(frozen=True)
class Needs:
    """Bytes that a run needs at least, by purpose."""

    checkpoint: int
    checkpoints: int
    """Checkpoints on the disk at once, including the one being written."""
    kept: int
    """Checkpoints that are still on the disk when the bundle is written."""
    bundle: int
    memory: dict[str, int]
    """Bytes of memory of one process, by purpose."""

    @property
    def disk(self) -> int:
        return max(self.checkpoints * self.checkpoint, self.kept * self.checkpoint + self.bundle)

    def on_disk(self) -> str:
        bundle = f" and a bundle of {gigabytes(self.bundle)}" if self.bundle else ""
        return f"{self.checkpoints} checkpoints of {gigabytes(self.checkpoint)}{bundle}"

    def in_memory(self) -> str:
        return ", ".join(f"{name} {gigabytes(size)}" for name, size in self.memory.items() if size)


@dataclass(frozen=True)
class Room:
    """What a run needs at least, and what there is: on the disk of its folder, and in the memory of its device."""

    needs: Needs
    place: Path
    disk: int
    """Bytes free at `place`, the nearest folder that exists already."""
    device: torch.device
    processes: int
    """Number of processes that share the memory of `device`."""
    memory: tuple[int, int] | None
    """(free, total) bytes; None: unknown."""

    @property
    def wanted(self) -> int:
        """Bytes of memory for all processes."""
        return self.processes * sum(self.needs.memory.values())

    @property
    def disk_is_short(self) -> bool:
        return self.needs.disk > self.disk

    @property
    def memory_is_short(self) -> bool:
        """Whether the run needs more memory than the machine has."""
        return self.memory is not None and self.wanted > self.memory[1]

    @property
    def memory_is_taken(self) -> bool:
        """Whether the machine has enough memory, but other processes use it at the moment."""
        return self.memory is not None and self.memory[0] < self.wanted <= self.memory[1]


def room_for(config: FastSlowConfig, model: PreTrainedModel | None = None) -> Room:
    """Estimate needs and room. Of a model that is not given, only the configuration is read.

    Raises BadInput where the model has no configuration.
    """
    needs, device = needs_of(config, model), device_of(config)
    return Room(needs, *free_disk(config), device, processes_here() if device.type == "cpu" else 1, memory_of(device))


def preflight(config: FastSlowConfig, model: PreTrainedModel | None = None) -> str | None:
    """Return a warning, or None. Raises BadInput where the run cannot end well: too little disk, or more memory than
    the machine has."""
    room = room_for(config, model)
    needs = room.needs
    if room.disk_is_short:
        raise BadInput(
            f"this run needs about {gigabytes(needs.disk)} of disk ({needs.on_disk()}), and at '{room.place}' "
            f"{gigabytes(room.disk)} are free; make room, choose another --output_dir, or save less: --keep_last 1, "
            "--save_bundle false, --save_strategy no."
        )
    if room.memory is None:
        return None
    free, total = room.memory
    parts = f"{needs.in_memory()}{f', {room.processes} times' * (room.processes > 1)}"
    what = f"at least {gigabytes(room.wanted)} of memory ({parts})"
    if room.memory_is_short:
        raise BadInput(
            f"this run needs {what}, and there are {gigabytes(total)}; train adapters (--lora_r 16), or take a smaller "
            "--model or a larger machine."
        )
    if room.memory_is_taken:
        return f"memory may run out: this run needs {what}, and {gigabytes(free)} are free."
    return None


def refusals(config: FastSlowConfig) -> None:
    """Raise BadInput for settings that a library would refuse once the run has begun; `train` and `doctor` ask here.

    Settings that fastslow judges itself were judged when `config` was made.
    """
    refuse_sharding(config)
    names = foreign_settings(config)
    if names and processes_here() == 1:  # processes that train together would each have to be at this place
        contexts = ["seed", "lead", "mean", config.clusters] if MODES[config.mode].fast else ["seed"]
        measured = [f"eval_{context}_{what}" for context in contexts for what in ("accuracy", "kl", "entropy")]
        rehearse(config, names, measured)


def needs_of(config: FastSlowConfig, model: PreTrainedModel | None = None) -> Needs:
    """Estimate the needs. Of a model that is not given, only the configuration is read.

    Raises BadInput where the model has no configuration.
    """
    every, trained = parameters(config, model)
    trains = MODES[config.mode].slow
    moments = MOMENTS.get(getattr(config.optim, "value", config.optim), 0) if trains else 0
    sharding, count = asked_for(config), all_processes()
    weights = count if sharding.of_weights else 1  # what one process holds is a share of so many
    states = count if sharding.of_optimiser else 1
    moving = bool(config.beta and config.sync_ref_model)  # a separate reference model, in memory and in checkpoints
    saved = _saved_steps(config)
    milestones = {step for step in saved if config.keep_every and step % config.keep_every == 0}
    return Needs(
        checkpoint=FP32 * (trained * (1 + moments) + moving * every),
        checkpoints=len({*saved[-config.keep_last - 1 :], *milestones}),
        kept=len({*saved[-config.keep_last :], *milestones}),
        bundle=FP32 * (trained if config.lora_r else every) * config.save_bundle,
        memory={
            "weights": FP32 * (every + (trained if config.lora_r else 0)) // weights,
            "gradients": FP32 * trained * trains // states,
            "optimiser": FP32 * trained * moments // states,
            "base for the KL": 0 if config.lora_r else FP32 * every * (1 + moving) // weights,
            "whole copy to sample from": (FP32 if compute_type(config) == "float32" else 2)
            * every
            * sharding.of_weights,
        },
    )


def parameters(config: FastSlowConfig, model: PreTrainedModel | None = None) -> tuple[int, int]:
    """Count (the model's parameters, the trained ones): all of them, or the adapters'."""
    model = model if model is not None else _without_weights(config)
    every = sum(p.numel() for p in model.parameters())
    if not config.lora_r:
        return every, every
    head = model.get_output_embeddings()  # peft's "all-linear" leaves this layer out
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
    return every, config.lora_r * sum(sum(layer.weight.shape) for layer in layers)


def _without_weights(config: FastSlowConfig) -> PreTrainedModel:
    source, trust = resolve_model(config.model), config.trust_remote_code
    described = describe_model(source, trust_remote_code=trust)
    with loading(source), torch.device("meta"):
        return AutoModelForCausalLM.from_config(described, trust_remote_code=trust)


def _saved_steps(config: FastSlowConfig) -> list[int]:
    """Return the steps that are certain to be saved."""
    if getattr(config.save_strategy, "value", config.save_strategy) == "no":
        return []
    steps = list(range(int(config.save_steps), config.max_steps + 1, int(config.save_steps)))
    return steps if config.save_time_share >= 1 else steps[-1:]


def free_disk(config: FastSlowConfig) -> tuple[Path, int]:
    """Return the nearest folder that exists already, and the bytes free on its disk."""
    path = Path(str(config.output_dir)).absolute()
    place = next(p for p in (path, *path.parents) if p.exists())
    return place, shutil.disk_usage(place).free


def device_of(config: FastSlowConfig) -> torch.device:
    accelerator = None if config.use_cpu else torch.accelerator.current_accelerator()
    return accelerator or torch.device("cpu")


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
