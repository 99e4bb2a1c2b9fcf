"""Run from beginning to end: train, or resume a run that was stopped, then close it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel, TrainerCallback

from fastslow.config.checks import warnings_of
from fastslow.config.dump import dump_config
from fastslow.config.settings import FastSlowConfig
from fastslow.core import processes
from fastslow.core.errors import EngineError, FastSlowError
from fastslow.core.machine import busy, is_out_of_memory, own_number
from fastslow.core.peers import watched
from fastslow.fast.proposers.base import journal_into
from fastslow.fast.reflection.journal import JOURNAL
from fastslow.files.locks import alone_in, refuse_held
from fastslow.files.run_directory import RunDirectory, missing_folders, remove_empty
from fastslow.policy.loading import pad_id
from fastslow.policy.trials import sampling_way
from fastslow.record.display import Display, SilentDisplay, TerminalDisplay
from fastslow.record.progress import Plan
from fastslow.record.recorder import Recorder
from fastslow.record.trackers import TrackerRun, tracked
from fastslow.run.carry import predecessor
from fastslow.run.closing import finish
from fastslow.run.mirror import open_place
from fastslow.run.preflight import preflight, refusals
from fastslow.run.resume import check_named, choose_checkpoint, read_config, rewind, summary_of, tidy
from fastslow.run.signals import stop_on_signals
from fastslow.run.trainer import FastSlowTrainer
from fastslow.streams import SEQUENCE
from fastslow.tasks.base import Task
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.names import short_names, titles

OUT_OF_TIME = "max_minutes"


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
    missing = processes.from_main(
        lambda: _refuse_or_list_missing(path, config.save_to)
    )  # before the first process makes them
    main = config.process_index == 0
    recorder = Recorder(None, (display or TerminalDisplay()) if main else SilentDisplay())
    refusals(config)
    predecessor(config)
    short = preflight(config, model)
    for warning in [*warnings_of(config), *([short] if short else [])]:
        recorder.display.note(f"warning: {warning}")
    trainer: FastSlowTrainer | None = None
    try:
        with ExitStack() as stack:
            tracker_run = stack.enter_context(_tracked(config))
            trainer = FastSlowTrainer(
                config, model=model, task=task, recorder=recorder, callbacks=[recorder, *callbacks]
            )
            if main:
                stack.enter_context(alone_in(path))
                recorder.run = RunDirectory.create(path, dump_config(config, own_task=task is not None))
            return _run(trainer, None, tracker_run)
    except BaseException:
        if recorder.run is not None and trainer is not None and _nothing_to_keep(trainer, path):
            _empty(path)
        remove_empty(missing if main else ())
        raise


def dry_run(config: FastSlowConfig) -> list[str]:
    """Do all that `train` does before it writes anything, and return in lines what the run would do with its model.

    Raises BadInput for what `train` would refuse.
    """
    _refuse_or_list_missing(Path(config.output_dir or "."), config.save_to)
    trainer = FastSlowTrainer(config)
    trains = trainer.slow.how_it_trains if trainer.mode.slow else "keeps its weights"
    try:
        return [f"model {config.model}: {_how_it_samples(trainer)}; {trains}.", "The run can begin."]
    finally:
        trainer.policy.close()


def _how_it_samples(trainer: FastSlowTrainer) -> str:
    if not trainer.policy.engine.separate:
        return sampling_way(trainer.model, pad_id=pad_id(trainer.tokenizer)).value
    told = trainer.policy.engine.describe()
    return f"sampled by {told['engine']} {told['version']} at {', '.join(told['urls'])}"


def resume(
    path: str | Path,
    *,
    checkpoint: str | None = None,
    max_minutes: float | None = None,
    engine_urls: list[str] | None = None,
    task: Task | None = None,
    model: PreTrainedModel | None = None,
    display: Display | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Resume a run that was stopped or broken off, and return what summary.json holds, at once for a run that is done.

    The run starts at its newest checkpoint, or at the one named `checkpoint`; a run without any starts over.
    `max_minutes` and `engine_urls` take the place of the run's own, this time. `task` and `model` are those that
    `train` was given, if any. On one machine and a CPU the end is bit for bit that of an unbroken run.

    Raises BadInput for what cannot be resumed, Damaged for a checkpoint that is not what was written.
    """
    run = RunDirectory.open(path)
    main = own_number() == 0
    with ExitStack() as stack:
        if main:
            stack.enter_context(alone_in(run.path))
        if summary_of(run).get("status") == "done":
            if main:
                tidy(run)
            return run.summary()
        start = choose_checkpoint(run, checkpoint)
        config = read_config(run, max_minutes=max_minutes, engine_urls=engine_urls)
        if task is None:
            check_named(run, config)
        refusals(config)
        recorder = Recorder(None, (display or TerminalDisplay()) if main else SilentDisplay())
        tracker_run = stack.enter_context(_tracked(config))
        trainer = FastSlowTrainer(config, model=model, task=task, recorder=recorder, callbacks=[recorder, *callbacks])
        if start is not None:
            trainer.checkpointing.check(start)  # what is refused must have changed nothing
        if main:
            rewind(run, start)
            recorder.run = run
        processes.wait()
        recorder.display.note(f"going on from {start.name if start else 'the start: no checkpoint was made yet'}")
        return _run(trainer, start, tracker_run)


def _refuse_or_list_missing(path: Path, second_place: str) -> list[Path]:
    """Return the folders that the run will make, the innermost first. Raises BadInput where a run cannot begin."""
    refuse_held(path)
    RunDirectory.refuse_existing(path)
    if second_place:
        open_place(second_place, path)
    return missing_folders(path)


def _tracked(config: FastSlowConfig) -> AbstractContextManager[TrackerRun | None]:
    """Give the run its place in trackers while a trainer is made and used."""
    trackers: Any = config.report_to  # transformers has made a list of it
    return tracked(Path(config.output_dir or "."), trackers=trackers, project=config.project, name=config.run_name)


def _run(trainer: FastSlowTrainer, start: Path | None, tracker_run: TrackerRun | None) -> dict[str, Any]:
    display = trainer.recorder.display
    if trainer.recorder.run is not None:
        journal_into(trainer.parts.fast.proposer, trainer.recorder.run.path / JOURNAL)
    if tracker_run is not None:
        trainer.slow.name_run(tracker_run.name)  # now that config.yaml is written: another run may be made of it
        if trainer.recorder.run is not None:
            tracker_run.keep(trainer.recorder.run)
    if others := busy():
        display.note(others)
    done = 0 if start is None else int(start.name.rpartition("-")[2])
    trainer.recorder.begin(Plan.of(vars(trainer.args)), _title(trainer), done)
    try:
        with (
            stop_on_signals(trainer),
            watched(f"What was saved is whole; go on with: fastslow resume {trainer.args.output_dir}"),
        ):
            trainer.train(resume_from_checkpoint=start)
            if trainer.time_is_up:
                trainer.stop(OUT_OF_TIME)
                display.note(_out_of_time(trainer))
            return finish(trainer)
    except Exception as error:
        if is_out_of_memory(error):
            raise FastSlowError(_out_of_memory(trainer, error)) from error
        if isinstance(error, EngineError):
            raise FastSlowError(f"{error}{_go_on(trainer, fresh=start is None)}") from error
        if not isinstance(error, (OSError, SafetensorError)):
            raise
        raise FastSlowError(_disk_failed(trainer, error, fresh=start is None)) from error
    finally:
        trainer.recorder.end()
        trainer.policy.close()


def _disk_failed(trainer: FastSlowTrainer, error: Exception, *, fresh: bool) -> str:
    """Name the file that a full, lost or read-only disk did not take, and say how to resume."""
    problem, file = getattr(error, "strerror", None) or error, getattr(error, "filename", None)
    where = f" ({file})" if file else ""
    return f"the run broke off: {problem}{where}.{_go_on(trainer, fresh=fresh)}"


def _go_on(trainer: FastSlowTrainer, *, fresh: bool) -> str:
    """Say how a run that broke off goes on."""
    run = trainer.recorder.run
    if run is not None and fresh and _nothing_to_keep(trainer, run.path):
        return " Nothing was saved yet: give the same command again."
    return f" What was saved is whole; go on with: fastslow resume {run.path}" if run is not None else ""


def _out_of_time(trainer: FastSlowTrainer) -> str:
    config, run = trainer.args, trainer.recorder.run
    mend = f" To give it more in all: fastslow resume {run.path} --max_minutes MINUTES" if run is not None else ""
    return (
        f"max_minutes ({config.max_minutes:g}) leaves no time for more: stopped after step {trainer.step} "
        f"of {config.max_steps}, and everything is saved.{mend}"
    )


def _out_of_memory(trainer: FastSlowTrainer, error: BaseException) -> str:
    """Say at which step memory ran out, which settings would need less, and how to resume."""
    config, run, step = trainer.args, trainer.recorder.run, trainer.step + 1
    said = re.search(r"[Tt]ried to allocate ([0-9.]+ \w+)", str(error))
    whole = trainer.checkpointing.of(run).steps()[-1:] if run is not None else []
    less = "" if config.lora_r else ", or train adapters (lora_r 16)"
    go_on = (
        f" checkpoint-{whole[0]} is whole; where more memory is free, go on with: fastslow resume {run.path}"
        if whole and run is not None
        else ""
    )
    return (
        f"out of memory at step {step}{f' (asked for {said[1]})' if said else ''}. A new run needs less with a lower "
        f"per_device_train_batch_size ({config.per_device_train_batch_size}), max_completion_length "
        f"({config.max_completion_length}) or num_generations ({config.num_generations}), with gradient_checkpointing "
        f"true{less}.{go_on}"
    )


def _nothing_to_keep(trainer: FastSlowTrainer, path: Path) -> bool:
    """Return whether not one step was taken and no call was paid for."""
    return trainer.step == 0 and not (path / JOURNAL).exists()


def _empty(folder: Path) -> None:
    """Empty the directory of a run that failed before its first step, for the next attempt.

    Only for a directory that this run made its own: RunDirectory.create had found it empty.
    """
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _rows(trainer: FastSlowTrainer) -> str:
    """Say what a step is made of."""
    if not trainer.mode.samples:
        return f"{trainer.args.questions_per_step} questions with their answers"
    return f"{trainer.args.problems_per_step} problems x {trainer.args.num_generations} rollouts"


def _title(trainer: FastSlowTrainer) -> str:
    config, task = trainer.args, trainer.parts.task
    one = config.task or task.name
    on = " + ".join(short_names(config.tasks).values()) if config.tasks else titles([one])[one]
    shown = {"stream": config.stream or SEQUENCE if config.tasks else "", "labels": config.labels,
             "clusters": config.clusters, "router": config.router}  # fmt: skip
    usual = {"stream": "", "labels": "visible", "clusters": "none", "router": "both"}
    settings = "".join(f", {name} {value}" for name, value in shown.items() if value != usual[name])
    return (
        f"fastslow {config.mode}: {config.model} on {on}{settings}, {config.max_steps} steps of "
        f"{_rows(trainer)}, "
        f"{'streamed' if isinstance(task, StreamedTask) else len(task.split('train'))} training and "
        f"{len(task.split('validation'))} validation examples"
    )
