"""A whole run: train, measure, write the bundle and the summary."""

from __future__ import annotations

import platform
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from .bundle import KEPT_SETTINGS, write_bundle
from .config import FastSlowConfig
from .display import Display, SilentDisplay, TerminalDisplay
from .evaluation import measure_accuracy
from .recorder import Recorder
from .run_dir import RunDirectory, versions
from .tasks.base import Task
from .trainer import FastSlowTrainer

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def train(
    config: FastSlowConfig,
    *,
    task: Task | None = None,
    model: PreTrainedModel | None = None,
    display: Display | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Run `config` to its end and return what summary.json holds. `SilentDisplay()` shows no progress.

    Raises BadInput before anything is written if the settings, the model or the task cannot be used.
    """
    path = Path(config.output_dir or ".")
    RunDirectory.refuse_existing(path)
    fresh = not path.exists()
    main = config.process_index == 0
    recorder = Recorder(None, (display or TerminalDisplay()) if main else SilentDisplay())
    trainer: FastSlowTrainer | None = None
    try:
        trainer = FastSlowTrainer(config, model=model, task=task, recorder=recorder, callbacks=[recorder, *callbacks])
        if main:
            recorder.run = RunDirectory.create(path, config)
        recorder.display.start(config.max_steps, _title(config, trainer))
        with stop_on_signals(trainer) as caught:
            trainer.train()
            return finish(trainer, caught)
    except BaseException:
        if recorder.run is not None and trainer is not None and trainer.state.global_step == 0:
            _empty(recorder.run.path)
        if fresh and path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        raise
    finally:
        recorder.display.stop()


def finish(trainer: FastSlowTrainer, caught: Sequence[int]) -> dict[str, Any]:
    """Bundle first, then the final measurements and the summary. A signal ends the measuring, and loses no weights."""
    run, main = trainer.recorder.run, trainer.accelerator.is_main_process
    if main and run is not None:
        write_bundle(
            run.path / "bundle",
            model=trainer.accelerator.unwrap_model(trainer.model),
            tokenizer=trainer.tokenizer,
            population=trainer.population,
            router=trainer.parts.router.state_dict(),
            base_name=trainer.args.model,
        )
    measured = {row["step"] for row in trainer.recorder.eval_rows}
    if not caught and trainer.state.global_step not in measured:
        trainer.evaluate()
    if main and not caught:
        with trainer.recorder.phase("eval", trainer.state.global_step):
            trainer.recorder.evals(trainer.state.global_step, measure_base(trainer))
    summary: dict[str, Any] = {}
    if main:
        summary = summarise(trainer, status=f"stopped by {signal.Signals(caught[0]).name}" if caught else "done")
        if run is not None:
            settings = {name: getattr(trainer.args, name) for name in KEPT_SETTINGS}
            settings["task"] = trainer.args.task or summary["task"]
            provenance = {key: summary[key] for key in ("steps", "status", "accuracy", "kl_to_base", "versions")}
            run.write_json("bundle/bundle.json", {"settings": settings, **provenance})
            run.write_json("summary.json", summary)
    trainer.accelerator.wait_for_everyone()
    return summary


def _empty(folder: Path) -> None:
    """A run that failed before its first step leaves its directory free for the next attempt. Only for a directory that
    this run made its own: RunDirectory.create had found it empty."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def measure_base(trainer: FastSlowTrainer) -> list[dict[str, Any]]:
    """The base weights under the seed context and under the lead context: the other half of the closing table."""
    population, task = trainer.population, trainer.parts.task
    contexts = {"seed": population.seed, "lead": population.lead}
    with trainer.base() as base:
        policy = trainer.make_policy(base, trainer.policy.window)
        policy.refresh(0)
        rows = []
        for kind, context in contexts.items():
            found = measure_accuracy(
                policy,
                context,
                task.split("validation"),
                params=trainer.eval_params(),
                samples=trainer.args.eval_samples,
                seed=trainer.args.seed,
            )
            rows.append(
                {
                    **vars(found),
                    "context": kind,
                    "context_id": context.id,
                    "task": task.name,
                    "split": "validation",
                    "weights": "base",
                    "kl": 0.0,
                }
            )
    return rows


def summarise(trainer: FastSlowTrainer, *, status: str) -> dict[str, Any]:
    """The numbers a script reads (summary.json)."""
    args, recorder = trainer.args, trainer.recorder
    latest = {(row["weights"], row["context"]): row for row in recorder.eval_rows}

    def value(weights: str, context: str, what: str) -> float | None:
        return latest.get((weights, context), {}).get(what)

    # Without a fast channel the lead context is the seed context.
    lead = "lead" if trainer.mode.fast else "seed"
    return {
        "status": status,
        "mode": args.mode,
        "seed": args.seed,
        "model": args.model,
        "task": trainer.parts.task.name,
        "steps": trainer.state.global_step,
        "rollouts": dict(recorder.rollouts),
        "tokens": dict(recorder.tokens),
        "wall_s": recorder.wall_by_phase(),
        "accuracy": {
            "base_seed": value("base", "seed", "accuracy"),
            "base_lead": value("base", "lead", "accuracy"),
            "seed": value("trained", "seed", "accuracy"),
            "lead": value("trained", lead, "accuracy"),
            "mean": value("trained", "mean" if trainer.mode.fast else "seed", "accuracy"),
        },
        "kl_to_base": {"seed": value("trained", "seed", "kl"), "lead": value("trained", lead, "kl")},
        "lead_context": trainer.population.lead.to_json(),
        "population": [c.id for c in trainer.population.members],
        "reflection": recorder.reflection,
        "skipped_too_long": trainer.policy.skipped,
        "validation_examples": len(trainer.parts.task.split("validation")),
        "machine": {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
                    "device": str(trainer.accelerator.device)},
        "versions": versions(),
    }  # fmt: skip


class _StopAtStepEnd(TrainerCallback):
    def __init__(self, caught: list[int]):
        self.caught = caught

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.caught:
            control.should_training_stop = True
            control.should_save = True


@contextmanager
def stop_on_signals(trainer: FastSlowTrainer) -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the run after the current step, with a checkpoint; a second one ends it at once."""
    caught: list[int] = []
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        caught.append(number)
        trainer.recorder.display.note(
            f"{signal.Signals(number).name}: stopping after this step; everything will be saved. Again to stop at once."
        )
        for each, handler in previous.items():
            signal.signal(each, handler)

    try:
        previous = {number: signal.signal(number, handle) for number in SIGNALS}
    except ValueError:  # not the main thread: a notebook or a server; signals stay whose they are
        previous = {}
    trainer.add_callback(_StopAtStepEnd(caught))
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_code(summary: dict[str, Any]) -> int:
    """0 for a finished run, 128 + number for one that a signal stopped."""
    status = str(summary.get("status", "done"))
    return next((code for number, code in SIGNALS.items() if status.endswith(number.name)), 0)


def _title(config: FastSlowConfig, trainer: FastSlowTrainer) -> str:
    task = trainer.parts.task
    return (
        f"fastslow {config.mode}: {config.model} on {config.task or task.name}, {config.max_steps} steps of "
        f"{config.problems_per_step} problems x {config.num_generations} rollouts, "
        f"{len(task.split('train'))} training and {len(task.split('validation'))} validation examples"
    )
