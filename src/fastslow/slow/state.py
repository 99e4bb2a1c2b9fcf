"""The state of the slow channel as parts of a checkpoint: optimiser and counters, and what differs between processes.

transformers restores a run in a fixed order: weights, then optimiser, then random states, then the counters of its
loop, which it resets first. So `load_state_dict` holds its argument, and the trainer restores each piece when
transformers asks for that piece.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from trl import GRPOTrainer

from fastslow.core import processes
from fastslow.core.errors import BadInput
from fastslow.files.snapshot import WEIGHTS, own_file, shard_files
from fastslow.policy import shards
from fastslow.slow.sharding import Sharding
from fastslow.slow.zero import load_zero_state, zero_state

# Counters of transformers' and TRL's loops that their own checkpoints omit or reset.
COUNTERS = (
    "_step", "current_flos", "_total_loss_scalar", "_globalstep_last_logged", "_initial_global_step", "entropy_coef",
    "_last_world_entropy",
)  # fmt: skip


class SlowState:
    """Optimiser, learning-rate schedule, gradient scaler and counters of the loop."""

    stands_still = True
    """Whether the tensors of `state_dict` change in the optimiser's step only, and need no copy until then."""

    def __init__(self, trainer: GRPOTrainer):
        self._trainer = trainer
        self._saved: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the optimiser's own tensors."""
        trainer: Any = self._trainer
        scaler = getattr(trainer.accelerator, "scaler", None)
        return {
            "optimizer": optimizer_state(trainer),
            "scheduler": trainer.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "counters": {name: getattr(trainer, name) for name in COUNTERS if hasattr(trainer, name)},
            **({"critic": trainer.critic.state_dict()} if trainer.critic is not None else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep the state until transformers asks for its pieces."""
        self._saved = state

    def restore_optimizer(self) -> None:
        """Restore optimiser, schedule and scaler, once they exist."""
        trainer: Any = self._trainer
        if self._saved is None:
            return
        load_optimizer(trainer, self._saved["optimizer"])
        if trainer.critic is not None:
            trainer.critic.load_state_dict(self._saved["critic"])
        trainer.lr_scheduler.load_state_dict(self._saved["scheduler"])
        scaler = getattr(trainer.accelerator, "scaler", None)
        if scaler is not None and self._saved["scaler"] is not None:
            scaler.load_state_dict(self._saved["scaler"])

    def restore_counters(self) -> None:
        """Restore the counters that transformers has just set to those of a new run."""
        if self._saved is None:
            return
        model: Any = self._trainer.model
        model.train()  # as a step leaves it, and a loaded model is not; TRL sorts its metrics by this
        for name in COUNTERS:
            if name in self._saved["counters"]:
                setattr(self._trainer, name, self._saved["counters"][name])

    def roll_back(self, state: Mapping[str, Any]) -> None:
        """Take up the optimiser of an earlier step; the learning rate goes on as scheduled."""
        trainer: Any = self._trainer
        optimizer: Any = trainer.optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        load_optimizer(trainer, state["optimizer"])
        if trainer.critic is not None:
            trainer.critic.load_state_dict(state["critic"])
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


class ProcessState:
    """What differs between processes: random states, losses and metrics that are not logged yet."""

    def __init__(self, trainer: GRPOTrainer):
        self._trainer = trainer
        self._saved: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every process, in their order. Every process has to call this method."""
        trainer: Any = self._trainer
        own = {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.random.get_rng_state(),
            "cuda": torch.cuda.random.get_rng_state() if torch.cuda.is_available() else None,
            "metrics": {mode: dict(values) for mode, values in trainer._metrics.items()},
            "loss": trainer._tr_loss.detach().cpu(),
        }
        return {"ranks": processes.gather([own])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep this process's state until transformers asks for it. Raises BadInput for another number of processes."""
        if len(state["ranks"]) != processes.count():
            raise BadInput(
                f"this checkpoint was written by {len(state['ranks'])} processes and can only go on with as many, not "
                f"{processes.count()}."
            )
        self._saved = state["ranks"][processes.rank()]

    def restore_random(self) -> None:
        """Restore the random states of Python, NumPy and torch."""
        if self._saved is None:
            return
        random.setstate(self._saved["python"])
        np.random.set_state(self._saved["numpy"])
        torch.random.set_rng_state(self._saved["torch"])
        if self._saved["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.random.set_rng_state(self._saved["cuda"])

    def restore_metrics(self) -> None:
        """Restore the running loss and the metrics that the next log line is made of."""
        trainer: Any = self._trainer
        if self._saved is None:
            return
        trainer._tr_loss = self._saved["loss"].to(trainer.args.device)
        for mode, values in self._saved["metrics"].items():
            trainer._metrics[mode].clear()
            trainer._metrics[mode].update(values)


def optimizer_state(trainer: Any) -> dict[str, Any]:
    """Return the optimiser's state, with this process's share of each tensor."""
    if trainer.sharding is Sharding.ZERO2:
        return zero_state(trainer)
    state = trainer.optimizer.state_dict()
    own = {i: {key: _share(value) for key, value in of_one.items()} for i, of_one in state["state"].items()}
    return {**state, "state": own}


def load_optimizer(trainer: Any, saved: Mapping[str, Any]) -> None:
    """Take up what `optimizer_state` returned."""
    if trainer.sharding is Sharding.ZERO2:
        return load_zero_state(trainer, saved)
    weights = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
    state = {
        i: {key: shards.like(weights[i], v) if isinstance(v, torch.Tensor) else v for key, v in of_one.items()}
        for i, of_one in saved["state"].items()
    }
    trainer.optimizer.load_state_dict({**saved, "state": state})
    return None


def _share(value: Any) -> Any:
    return shards.share(value) if isinstance(value, torch.Tensor) else value


def weights_of(trainer: Any) -> dict[str, torch.Tensor]:
    """Return the trained parameters and the buffers that a model counts among its weights; tied ones once. Of weights
    that are cut up, the share of this process.

    Names under `reference.` belong to TRL's reference model, where it moves.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    shards.settle(model)
    saves = trainer.adapter.saves
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad or saves(name)}
    in_state = model.state_dict()
    weights |= {name: buffer for name, buffer in model.named_buffers() if name in in_state}
    if trainer.ref_model is not None and trainer.args.sync_ref_model:
        reference = trainer.accelerator.unwrap_model(trainer.ref_model)
        weights |= {f"reference.{name}": weight for name, weight in reference.named_parameters()}
    return {name: shards.share(weight) for name, weight in weights.items()}


def saved_weights(trainer: Any, folder: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint as the model holds them now: this process's share, or all of them."""
    if shards.is_sharded(trainer.accelerator.unwrap_model(trainer.model)) or not shard_files(folder, WEIGHTS):
        return load_file(own_file(folder, WEIGHTS))
    parts = [load_file(file) for file in shard_files(folder, WEIGHTS)]
    cut = {name for name, _ in trainer.model.named_parameters()}
    return {name: torch.cat([p[name] for p in parts]) if name in cut else held for name, held in parts[0].items()}


def saved_shapes(trainer: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the weights of a checkpoint, put together where they are cut up: by their rows (FSDP2)."""
    files = shard_files(folder, WEIGHTS) or [folder / WEIGHTS]
    cut = {name for name, _ in trainer.model.named_parameters()}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        with safe_open(file, "pt") as saved:
            for name in saved.keys():  # noqa: SIM118
                shape = tuple(saved.get_slice(name).get_shape())
                before = shapes.get(name)
                shapes[name] = (before[0] + shape[0], *shape[1:]) if before and name in cut else shape
    return shapes


def load_weights(trainer: Any, saved: Mapping[str, torch.Tensor], origin: object) -> None:
    """Copy `saved` into the model. Raises BadInput where the model has other weights than those of `origin`."""
    check_fit(trainer, {name: tuple(weight.shape) for name, weight in saved.items()}, origin)
    weights = weights_of(trainer)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved[name])


def check_fit(trainer: Any, shapes: Mapping[str, tuple[int, ...]], origin: object) -> None:
    """Raise BadInput where weights of these shapes are not those of the model; `origin` says whose they are."""
    own = {name: tuple(weight.shape) for name, weight in weights_of(trainer).items()}
    other = sorted(set(shapes) ^ set(own)) or sorted(name for name in own if shapes[name] != own[name])
    if other:
        raise BadInput(f"'{origin}' does not fit the model '{trainer.args.model}': they differ in '{other[0]}'.")
