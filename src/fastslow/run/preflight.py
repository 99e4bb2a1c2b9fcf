"""Compare, before a run writes anything, the disk and memory that the run needs at least with what there is.

Counted is what is certain: weights, gradients and the optimiser's moments in fp32, the base model that the KL is
measured against, checkpoints and bundle. Activations, caches and logs come on top.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from fastslow.config.settings import FastSlowConfig, compute_type, foreign_settings
from fastslow.core.errors import BadInput
from fastslow.core.machine import all_processes, memory_of, processes_here
from fastslow.core.modes import MODES
from fastslow.costs.disk import Disk
from fastslow.costs.memory import FP32, Training, standing
from fastslow.costs.shape import BF16, shape_of
from fastslow.run.costing import disk_needs, moments, references, without_weights
from fastslow.slow.rehearsal import check_trackers, rehearse
from fastslow.slow.sharding import asked_for, refuse_sharding


@dataclass(frozen=True)
class Needs:
    """Bytes that a run needs at least: on the disk, and in the memory of one process by purpose."""

    stored: Disk
    memory: dict[str, int]

    @property
    def disk(self) -> int:
        return self.stored.fullest

    def on_disk(self) -> str:
        stored = self.stored
        bundle = f" and a bundle of {gigabytes(stored.bundle)}" if stored.bundle else ""
        return f"{stored.checkpoints} checkpoints of {gigabytes(stored.checkpoint)}{bundle}"

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
    """Raise BadInput for servers that cannot be used, and for settings that a library would refuse once the run has
    begun; `train` and `doctor` ask here.

    Settings that fastslow judges itself were judged when `config` was made.
    """
    refuse_sharding(config)
    trackers: Any = config.report_to  # transformers has made a list of it
    check_trackers(trackers)
    if config.engine_urls:
        from fastslow.policy.engines.vllm import check_servers  # late: openai is slow to import

        dtype = getattr(torch, compute_type(config))
        check_servers(config.engine_urls, adapters=config.engine_sync == "lora", dtype=dtype)
    names = foreign_settings(config)
    if names and processes_here() == 1:  # processes that train together would each have to be at this place
        contexts = ["seed", "lead", "mean", config.clusters] if MODES[config.mode].fast else ["seed"]
        measured = [f"eval_{context}_{what}" for context in contexts for what in ("accuracy", "kl", "entropy")]
        rehearse(config, names, measured)


def needs_of(config: FastSlowConfig, model: PreTrainedModel | None = None) -> Needs:
    """Estimate the needs. Of a model that is not given, only the configuration is read.

    Raises BadInput where the model has no configuration.
    """
    shape = shape_of(model if model is not None else without_weights(config), lora_r=config.lora_r)
    sharding, count = asked_for(config), all_processes()
    how = Training(
        processes=count if sharding.of_weights else 1,
        states=count if sharding.of_optimiser else 1,
        trains=MODES[config.mode].slow,
        moments=moments(config),
        references=references(config),
    )
    memory = standing(shape, how)
    if sharding.of_weights and not config.engine_urls:
        memory["whole copy to sample from"] = (FP32 if compute_type(config) == "float32" else BF16) * shape.every
    return Needs(disk_needs(config, shape), memory)


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
