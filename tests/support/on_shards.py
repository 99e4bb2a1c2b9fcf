"""Train the runs of a plan in each of several processes, one after the other.

A plan is a list of {"name", "kind", "settings", "empty": step without a live row, "back": [step, later step after which
the run goes back to it]}. Every process writes what it saw to
FOLDER/NAME-RANK.json; the first one writes the run directory FOLDER/NAME.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from fastslow.cli.train import leave_processes
from fastslow.config.settings import FastSlowConfig
from fastslow.core import processes
from fastslow.evaluation import drift
from fastslow.policy.policy import Policy
from fastslow.record.display import SilentDisplay
from fastslow.run import train as running
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.channel import SlowChannel
from fastslow.slow.trainer import SlowTrainer
from tests.support.sharding import shard_on_cpu, shards_by, start_over

SECONDS = int(os.environ.get("SHARDING_TEST_SECONDS", "60"))
"""Most that a run may take, of about five; a busy machine may be given more."""
ENDS = 30
"""Ids that end a completion, of 259: answers of the random model get different lengths without being long."""


class Witness(TrainerCallback):
    """Keep what a process saw of its run."""

    def __init__(self, name: str, empty: int | None, back: Sequence[int] = (-1, -1)):
        self.name, self.empty, self.back = name, empty, back
        self.seen: dict[str, Any] = {"losses": {}, "kl_forwards": 0, "samples": 0, "still": None, "lengths": []}
        self.trainer: Any = None
        self.began = time.monotonic()

    def digest(self) -> str:
        slow = self.trainer.slow
        state = slow._trainer.saved.state_dict()["optimizer"]
        tensors = [*slow.weights.values(), *_tensors(state)]
        return hashlib.sha256(b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in tensors)).hexdigest()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.before = self.digest() if state.global_step == self.empty else None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        held = {"weights": list(self.trainer.slow.weights.values()),
                "optimiser": _tensors(self.trainer.slow._trainer.saved.state_dict()["optimizer"])}  # fmt: skip
        self.seen["bytes"] = {what: sum(t.numel() * t.element_size() for t in each) for what, each in held.items()}
        self.seen["seconds"] = round(time.monotonic() - self.began, 2)
        if self.before is not None:
            self.seen["still"] = self.before == self.digest()
        here, later = self.back
        if state.global_step == here:
            self.kept = self.digest()
        if state.global_step == later:
            away = self.digest()
            self.trainer.checkpointing.roll_back(here)
            self.seen["back"] = [away == self.kept, self.digest() == self.kept]


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    items = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def watch(witness: Witness) -> None:
    """Patch what the witness counts; once a run."""
    seen = witness.seen
    compute, make, roll_out, measure = REAL

    def loss(self: Any, model: Any, inputs: Any) -> Any:
        value = compute(self, model, inputs)
        step = str(self.state.global_step)
        seen["losses"][step] = seen["losses"].get(step, 0.0) + float(value)
        return value

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        witness.trainer = self
        seen["kind"], seen["how"] = shards_by(self), self.slow.how_it_trains
        next_step = self.cycle.next_step

        def with_an_empty_step(step: int) -> Any:
            batch = next_step(step)
            seen["lengths"].append([len(r.completion_ids) for r in batch.rollouts])
            return replace(batch, slow_B=(False,) * len(batch.slow_B)) if step == witness.empty else batch

        self.cycle.next_step = with_an_empty_step

    def counted(self: Any, jobs: Any, params: Any) -> Any:
        seen["samples"] += len(jobs)
        return roll_out(self, jobs, params)

    def rows(model: Any, base: Any, rollouts: Any) -> Any:
        seen["kl_forwards"] += len(rollouts)
        return measure(model, base, rollouts)

    SlowTrainer._compute_loss = loss  # type: ignore[method-assign]
    FastSlowTrainer.__init__ = init  # type: ignore[method-assign]
    Policy._roll_out = counted  # type: ignore[method-assign]
    drift._drift_of_rows = rows


REAL = SlowTrainer._compute_loss, FastSlowTrainer.__init__, Policy._roll_out, drift._drift_of_rows


def main(place: str, plan: list[dict[str, Any]]) -> None:
    """Train the plan's runs in the folder `place`, in this process and the others of its group."""
    folder = Path(place)
    shard_on_cpu()
    SlowChannel.eos_ids = property(lambda self: list(range(ENDS)))  # type: ignore[assignment]
    for run in plan:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        start_over(run["kind"])
        witness = Witness(run["name"], run.get("empty"), run.get("back", (-1, -1)))
        watch(witness)
        output = folder / run["name"]
        try:
            if run.get("resume"):
                running.resume(output, display=SilentDisplay(), callbacks=[witness])
            else:
                settings: dict[str, Any] = {**run["settings"], "output_dir": str(output)}
                running.train(FastSlowConfig(**settings), display=SilentDisplay(), callbacks=[witness])
        except Exception as error:
            witness.seen["error"] = f"{type(error).__name__}: {error}"
            if not run.get("may_fail"):
                raise
        (folder / f"{run['name']}-{processes.rank()}.json").write_text(json.dumps(witness.seen))
        processes.wait()
    leave_processes()
