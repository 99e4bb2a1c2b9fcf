"""What a checkpoint holds: all that decides how a run goes on, taken at a step's end and put back before the next.

    model.safetensors       weights (with LoRA, the adapters), named as in memory; under `reference.` TRL's reference
                            model where it moves
    state.json              optimiser, scheduler, scaler, random states, loop counters, metrics not yet logged, rollouts
    state.safetensors       in the cache, experience, router, tallies, positions in the .jsonl files; tensors apart
    trainer_state.json      transformers' own
    population.json         contexts, scores, frontier's ground
    archive.json            what every topic did best with; only where topics have contexts of their own
    clusters.json           windows of the clusters, who is in which; their vectors apart; only with inferred clusters
    clusters.safetensors
    router.json

Weights and optimiser change in one place only, the optimiser's step. So the two files of tensors are written while the
next step samples, scores and computes gradients, from the tensors themselves; what else there is was written before.

The stream needs no entry: any of its positions is a function of settings and step, and of the shares of rehearsal so
far, which are with what steers the run.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import Example, Rollout, Trace, Verdict
from fastslow.files.nested_state import dumps, flatten, rebuild
from fastslow.files.run_directory import clean, read_population, write_state
from fastslow.files.tensors import write_tensors
from fastslow.loop.rollout_cache import RolloutCache

if TYPE_CHECKING:
    from fastslow.run.checkpoints import ResumableTrainer

WEIGHTS, STATE, TENSORS, TRAINER = "model.safetensors", "state.json", "state.safetensors", "trainer_state.json"
# Counters of transformers' and TRL's loop that their own checkpoints forget or start over.
LOOP = (
    "_step", "current_flos", "_total_loss_scalar", "_globalstep_last_logged", "_initial_global_step", "entropy_coef",
    "_last_world_entropy", "_skipped_steps",
)  # fmt: skip


def gather_ranks(trainer: ResumableTrainer) -> list[dict[str, Any]]:
    """What differs between processes, in their order. Every process has to call this."""
    mine = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.random.get_rng_state(),
        "cuda": torch.cuda.random.get_rng_state() if torch.cuda.is_available() else None,
        "metrics": {mode: dict(values) for mode, values in trainer._metrics.items()},
        "loss": trainer._tr_loss.detach().cpu(),
        "skipped": trainer.policy.skipped,
    }
    return gather_object([mine])


class WeightsMoved(FastSlowError):
    """Something other than the optimiser changed a weight while it was being written."""


@dataclass(frozen=True)
class Standing:
    """What is still to be written of a checkpoint: tensors by file, which stand still until the optimiser steps."""

    files: dict[str, dict[str, torch.Tensor]]
    versions: dict[str, int]
    """torch's count of changes in place, by tensor: what moved all the same does not become a checkpoint unnoticed."""

    def write(self, folder: Path, proceed: Callable[[], None]) -> dict[str, dict[str, int | str]]:
        """Length and SHA-256 of every file. `proceed` may raise. Raises WeightsMoved and OSError."""
        written = {name: write_tensors(folder / name, tensors, proceed) for name, tensors in self.files.items()}
        for tensors in self.files.values():
            for name, tensor in tensors.items():
                if tensor._version != self.versions[name]:
                    raise WeightsMoved(name)
        return written


def take(trainer: ResumableTrainer, folder: Path, ranks: list[dict[str, Any]]) -> Standing:
    """Write what is small, and return what is not. Raises FastSlowError where a weight is not finite."""
    weights = _weights(trainer)
    bad = next((name for name, weight in weights.items() if not is_finite(weight)), None)
    if bad is not None:
        raise FastSlowError(
            f"after step {trainer.state.global_step} the weight '{bad}' is not finite: no checkpoint was made of it, "
            "the one before is whole. A lower learning_rate may help."
        )
    scaler = getattr(trainer.accelerator, "scaler", None)
    run = trainer.recorder.run
    tensors: dict[str, torch.Tensor] = {}
    state = {
        "scheduler": trainer.lr_scheduler.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "ranks": ranks,
        "loop": {name: getattr(trainer, name) for name in LOOP if hasattr(trainer, name)},
        "cache": [_rollout_to_json(r) for r in trainer._cache.waiting()],
        "experience": [_trace_to_json(t) for t in trainer._experience],
        "fast_pool": list(trainer._fast_pool),
        "recorder": trainer.recorder.state_dict(),
        "steering": trainer.steering.state_dict(),
        "best": list(trainer.best) if trainer.best else None,
        "longest_step_time": trainer.wall_time.longest,
        "positions": run.positions() if run is not None else {},
    }
    content = {
        "optimizer": flatten(trainer.optimizer.state_dict(), tensors, "state/optimizer", copy=False),
        **flatten(state, tensors, "state"),
    }
    (folder / STATE).write_bytes(dumps(content))
    # metrics.jsonl has the history; with it in every checkpoint, a run would write the square of its steps.
    replace(trainer.state, log_history=[]).save_to_json(str(folder / TRAINER))
    write_state(folder, trainer.population, trainer.parts.router.state_dict())
    trainer.topics.write(folder)
    files = {WEIGHTS: {name: weight.detach() for name, weight in weights.items()}, TENSORS: tensors}
    return Standing(files, {name: t._version for some in files.values() for name, t in some.items()})


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether every element is. By the smallest and the largest, NaN being both: no mask as large as the tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(torch.isfinite(extreme)) for extreme in tensor.detach().aminmax())


def read_state(folder: Path) -> dict[str, Any]:
    """The state of a verified checkpoint. Raises BadInput for one that no version of ours wrote."""
    try:
        return rebuild(json.loads((folder / STATE).read_bytes()), load_file(folder / TENSORS))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"'{folder / STATE}' cannot be read ({type(error).__name__}: {error}).") from error


def read_json_state(folder: Path) -> dict[str, Any]:
    """state.json as it stands: what in it is plain can be read without the tensors. Raises BadInput as `read_state`."""
    try:
        state = json.loads((folder / STATE).read_bytes())
        return {**state, "positions": dict(state["positions"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"'{folder / STATE}' cannot be read ({type(error).__name__}: {error}).") from error


def restore_weights(trainer: ResumableTrainer, folder: Path) -> None:
    """Raises BadInput where the model has other weights than the checkpoint."""
    saved, weights = load_file(folder / WEIGHTS), _weights(trainer)
    other = sorted(set(saved) ^ set(weights)) or sorted(n for n in saved if saved[n].shape != weights[n].shape)
    if other:
        raise BadInput(f"'{folder}' does not fit the model '{trainer.args.model}': they differ in '{other[0]}'.")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved[name])


def restore_optimizer(trainer: ResumableTrainer, state: Mapping[str, Any]) -> None:
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.lr_scheduler.load_state_dict(state["scheduler"])
    scaler = getattr(trainer.accelerator, "scaler", None)
    if scaler is not None and state["scaler"] is not None:
        scaler.load_state_dict(state["scaler"])


def restore_random(trainer: ResumableTrainer, state: Mapping[str, Any]) -> None:
    mine = state["ranks"][trainer.accelerator.process_index]
    random.setstate(mine["python"])
    np.random.set_state(mine["numpy"])
    torch.random.set_rng_state(mine["torch"])
    if mine["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.random.set_rng_state(mine["cuda"])


def restore_loop(trainer: ResumableTrainer, state: Mapping[str, Any]) -> None:
    """Counters that transformers sets anew when its loop begins; to be called right after that."""
    mine = state["ranks"][trainer.accelerator.process_index]
    trainer.model.train()  # as a step leaves it, and a loaded model is not; TRL sorts its metrics by this
    for name, value in state["loop"].items():
        setattr(trainer, name, value)
    trainer._tr_loss = mine["loss"].to(trainer.args.device)
    for mode, values in mine["metrics"].items():
        trainer._metrics[mode].clear()
        trainer._metrics[mode].update(values)


def restore_channels(trainer: ResumableTrainer, folder: Path, state: Mapping[str, Any]) -> None:
    """Population, router, rollouts in the cache, experience. Raises BadInput where the task has other examples now."""
    if len(state["ranks"]) != trainer.accelerator.num_processes:
        raise BadInput(
            f"'{folder}' was written by {len(state['ranks'])} processes and can only go on with as many, "
            f"not {trainer.accelerator.num_processes}."
        )
    examples = {e.id: e for e in trainer.parts.task.split("train")}
    try:
        trainer._fast_pool = {name: examples[name] for name in state["fast_pool"]}
        trainer._experience = [_trace_from_json(data, examples) for data in state["experience"]]
    except KeyError as error:
        raise BadInput(
            f"the training data of task '{trainer.parts.task.name}' has changed: example {error} is gone."
        ) from error
    trainer.population = read_population(folder)
    try:
        trainer.topics.read(folder)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(f"the topics of '{folder}' cannot be read ({type(error).__name__}: {error}).") from error
    trainer.parts.router.load_state_dict(json.loads((folder / "router.json").read_text(encoding="utf-8")))
    trainer._cache = RolloutCache(_rollout_from_json(data) for data in state["cache"])
    trainer.policy.skipped = state["ranks"][trainer.accelerator.process_index]["skipped"]
    trainer.steering.load_state_dict(state["steering"])
    trainer.best = tuple(state["best"]) if state["best"] else None
    trainer.recorder.load_state_dict(state["recorder"])
    trainer.wall_time.longest = state.get("longest_step_time", 0.0)  # runs begun before it was kept go on


def _weights(trainer: ResumableTrainer) -> dict[str, torch.Tensor]:
    """Trained parameters and the buffers that a model counts among its weights; tied ones once."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    found = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    saved = model.state_dict()
    found |= {name: buffer for name, buffer in model.named_buffers() if name in saved}
    if trainer.ref_model is not None and trainer.args.sync_ref_model:
        reference = trainer.accelerator.unwrap_model(trainer.ref_model)
        found |= {f"reference.{name}": weight for name, weight in reference.named_parameters()}
    return found


def _rollout_to_json(rollout: Rollout) -> dict[str, Any]:
    return {**asdict(rollout), "verdict": _verdict_to_json(rollout.verdict)}


def _rollout_from_json(data: Mapping[str, Any]) -> Rollout:
    return Rollout(**{**data, "verdict": Verdict(**data["verdict"])})


def _trace_to_json(trace: Trace) -> dict[str, Any]:
    verdict = _verdict_to_json(trace.verdict)
    return {
        "example": trace.example.id, "context_id": trace.context_id, "completion": trace.completion, "verdict": verdict,
    }  # fmt: skip


def _trace_from_json(data: Mapping[str, Any], examples: Mapping[str, Example]) -> Trace:
    return Trace(examples[data["example"]], data["context_id"], data["completion"], Verdict(**data["verdict"]))


def _verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    # `info` is for people and may hold anything; what decides is reward and feedback.
    info = json.loads(json.dumps(clean(verdict.info), default=str))
    return {"reward": verdict.reward, "feedback": verdict.feedback, "info": info}
