"""A whole run: train, measure, write the bundle and the summary."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from transformers import PreTrainedModel, TrainerCallback

from fastslow.bundles.bundle import KEPT_SETTINGS, write_bundle
from fastslow.config.checks import warnings_of
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import FastSlowError
from fastslow.core.machine import is_out_of_memory
from fastslow.core.measurement import Measurement, means
from fastslow.fast.proposers.base import journal_into
from fastslow.fast.reflection.journal import JOURNAL
from fastslow.files.locks import alone_in, refuse_held
from fastslow.files.run_directory import RunDirectory, machine, versions
from fastslow.loop.cycle import FastSlowTrainer
from fastslow.record.display import Display, SilentDisplay, TerminalDisplay
from fastslow.record.recorder import Recorder
from fastslow.run.preflight import preflight
from fastslow.run.resume import choose_checkpoint, read_config, rewind, summary_of, tidy
from fastslow.streams import SEQUENCE
from fastslow.tasks.base import Task
from fastslow.tasks.spec import short_names

SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
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
    refuse_held(path)
    RunDirectory.refuse_existing(path)
    fresh = not path.exists()
    main = config.process_index == 0
    recorder = Recorder(None, (display or TerminalDisplay()) if main else SilentDisplay())
    short = preflight(config, model)
    for warning in [*warnings_of(config), *([short] if short else [])]:
        recorder.display.note(f"warning: {warning}")
    trainer: FastSlowTrainer | None = None
    try:
        with ExitStack() as stack:
            trainer = FastSlowTrainer(
                config, model=model, task=task, recorder=recorder, callbacks=[recorder, *callbacks]
            )
            if main:
                stack.enter_context(alone_in(path))
                recorder.run = RunDirectory.create(path, config)
            return _run(trainer, None)
    except BaseException:
        if recorder.run is not None and trainer is not None and _nothing_to_keep(trainer, path):
            _empty(path)
        if fresh and path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        raise


def resume(
    path: str | Path,
    *,
    checkpoint: str | None = None,
    max_minutes: float | None = None,
    task: Task | None = None,
    model: PreTrainedModel | None = None,
    display: Display | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Go on with a run that was stopped or broken off; returns what summary.json holds, at once for one that is done.

    It starts at the newest checkpoint, or the one named `checkpoint`; a run without any starts over. `max_minutes`
    takes the place of the run's own, this time. `task` and `model` are those that `train` was given, if any. On one
    machine and a CPU the end is bit for bit that of an unbroken run.

    Raises BadInput for what cannot be resumed, Damaged for a checkpoint that is not what was written.
    """
    run = RunDirectory.open(path)
    main = int(os.environ.get("RANK", "0")) == 0
    with ExitStack() as stack:
        if main:
            stack.enter_context(alone_in(run.path))
        if summary_of(run).get("status") == "done":
            if main:
                tidy(run)
            return run.summary()
        start = choose_checkpoint(run, checkpoint)
        config = read_config(run, max_minutes=max_minutes)
        recorder = Recorder(None, (display or TerminalDisplay()) if main else SilentDisplay())
        trainer = FastSlowTrainer(config, model=model, task=task, recorder=recorder, callbacks=[recorder, *callbacks])
        if main:
            rewind(run, start)
            recorder.run = run
        trainer.accelerator.wait_for_everyone()
        recorder.display.note(f"going on from {start.name if start else 'the start: no checkpoint was made yet'}")
        return _run(trainer, start)


def _run(trainer: FastSlowTrainer, start: Path | None) -> dict[str, Any]:
    display = trainer.recorder.display
    if trainer.recorder.run is not None:
        journal_into(trainer.parts.fast.proposer, trainer.recorder.run.path / JOURNAL)
    display.start(trainer.args.max_steps, _title(trainer.args, trainer))
    try:
        with stop_when_told(trainer) as caught:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            if trainer.time_is_up:
                caught.append(OUT_OF_TIME)
                display.note(_out_of_time(trainer))
            return finish(trainer, caught)
    except Exception as error:
        if is_out_of_memory(error):
            raise FastSlowError(_out_of_memory(trainer, error)) from error
        if not isinstance(error, (OSError, SafetensorError)):
            raise
        # a disk that is full, gone or read-only
        run, problem = trainer.recorder.run, getattr(error, "strerror", None) or error
        file = getattr(error, "filename", None)
        where = f" ({file})" if file else ""
        mend = f" What was saved is whole; go on with: fastslow resume {run.path}" if run is not None else ""
        if run is not None and start is None and _nothing_to_keep(trainer, run.path):
            mend = " Nothing was saved yet: give the same command again."
        raise FastSlowError(f"the run broke off: {problem}{where}.{mend}") from error
    finally:
        display.stop()


def _out_of_time(trainer: FastSlowTrainer) -> str:
    args, run = trainer.args, trainer.recorder.run
    mend = f" To give it more in all: fastslow resume {run.path} --max_minutes MINUTES" if run is not None else ""
    return (
        f"max_minutes ({args.max_minutes:g}) leaves no time for more: stopped after step {trainer.state.global_step} "
        f"of {args.max_steps}, and everything is saved.{mend}"
    )


def _out_of_memory(trainer: FastSlowTrainer, error: BaseException) -> str:
    """What ran out when, what would need less, and what there is to go on from."""
    args, run, step = trainer.args, trainer.recorder.run, trainer.state.global_step + 1
    said = re.search(r"[Tt]ried to allocate ([0-9.]+ \w+)", str(error))
    whole = trainer.checkpoints(run.path).steps()[-1:] if run is not None else []
    less = "" if args.lora_r else ", or train adapters (lora_r 16)"
    go_on = (
        f" checkpoint-{whole[0]} is whole; where more memory is free, go on with: fastslow resume {run.path}"
        if whole and run is not None
        else ""
    )
    return (
        f"out of memory at step {step}{f' (asked for {said[1]})' if said else ''}. A new run needs less with a lower "
        f"per_device_train_batch_size ({args.per_device_train_batch_size}), max_completion_length "
        f"({args.max_completion_length}) or num_generations ({args.num_generations}), with gradient_checkpointing true"
        f"{less}.{go_on}"
    )


def finish(trainer: FastSlowTrainer, caught: Sequence[str]) -> dict[str, Any]:
    """Bundle first, then the final measurements and the summary. A signal ends the measuring, and loses no weights."""
    run, main, args = trainer.recorder.run, trainer.accelerator.is_main_process, trainer.args
    if main and run is not None and args.save_bundle:
        write_bundle(
            run.path / "bundle",
            model=trainer.accelerator.unwrap_model(trainer.model),
            tokenizer=trainer.tokenizer,
            population=trainer.population,
            router=trainer.parts.router.state_dict(),
            topics=trainer.topics,
            base_name=trainer.args.model,
        )
    measured = {one.step for one in trainer.recorder.measurements}
    if not caught and trainer.state.global_step not in measured:
        trainer.evaluate()
    if main and not caught:
        with trainer.recorder.phase("eval", trainer.state.global_step):
            trainer.recorder.evals(trainer.state.global_step, measure_base(trainer))
    summary: dict[str, Any] = {}
    if main:
        summary = summarise(trainer, status=f"stopped by {caught[0]}" if caught else "done")
        if run is not None:
            settings = {name: getattr(trainer.args, name) for name in KEPT_SETTINGS}
            settings["task"] = trainer.args.task or summary["task"]
            provenance = {key: summary[key] for key in ("steps", "status", "accuracy", "kl_to_base", "versions")}
            if args.save_bundle:
                run.write_json("bundle/bundle.json", {"settings": settings, **provenance})
            else:  # the contexts are small, and a report shows them
                run.write_json("population.json", trainer.population.to_json())
                if trainer.topics.archive is not None:
                    run.write_json("archive.json", trainer.topics.archive.to_json())
            run.write_json("summary.json", summary)
            if not caught:
                trainer.checkpoints(run.path).drop_all_but_milestones(trainer.kept_best)
    trainer.accelerator.wait_for_everyone()
    return summary


def _nothing_to_keep(trainer: FastSlowTrainer, path: Path) -> bool:
    """Not one step was taken and no call was paid for."""
    return trainer.state.global_step == 0 and not (path / JOURNAL).exists()


def _empty(folder: Path) -> None:
    """A run that failed before its first step leaves its directory free for the next attempt. Only for a directory that
    this run made its own: RunDirectory.create had found it empty."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def measure_base(trainer: FastSlowTrainer) -> list[Measurement]:
    """The base weights under the seed context and under the lead context: the other half of the closing table."""
    return trainer.evaluator().measure_base(trainer.population, ["seed", "lead"])


def summarise(trainer: FastSlowTrainer, *, status: str) -> dict[str, Any]:
    """The numbers a script reads (summary.json)."""
    args, recorder = trainer.args, trainer.recorder
    latest = {(one.weights, one.context, one.task): one for one in recorder.measurements}

    def values(what: Literal["accuracy", "kl"], task: str | None = None) -> dict[str, float | None]:
        rows = {w: [r for (v, _, t), r in latest.items() if v == w and task in (None, t)] for w in ("base", "trained")}
        base, trained = (means(found, what) for found in rows.values())
        # Without a fast channel the lead context is the seed context, and so are all.
        seed, both = trained.get("seed"), trainer.mode.fast
        lead, mean = (trained.get("lead"), trained.get("mean")) if both else (seed, seed)
        names = ("base_seed", "base_lead", "seed", "lead", "mean")
        found = dict(zip(names, (base.get("seed"), base.get("lead"), seed, lead, mean), strict=True))
        return found | {kind: trained.get(kind) for kind in trainer.topics.kinds if both}

    kl = values("kl")
    return {
        "status": status,
        "mode": args.mode,
        "channels": {"fast": trainer.mode.fast, "slow": trainer.mode.slow},
        "ships": trainer.shipped_context,
        "seed": args.seed,
        "model": args.model,
        "task": trainer.parts.task.name,
        "steps": trainer.state.global_step,
        "rollouts": dict(recorder.rollouts),
        "tokens": dict(recorder.tokens),
        "wall_s": recorder.wall_by_phase(),
        "accuracy": values("accuracy"),
        **({"tasks": {name: values("accuracy", name) for name in trainer.validation()}} if args.tasks else {}),
        "kl_to_base": {"seed": kl["seed"], "lead": kl["lead"]},
        "lead_context": trainer.population.lead.to_json(),
        "population": [c.id for c in trainer.population.members],
        "reflection": {**recorder.reflection, "cost_usd": reflection_cost(args, recorder.reflection)},
        "skipped_too_long": trainer.policy.skipped,
        "validation_examples": len(trainer.parts.task.split("validation")),
        "machine": machine(str(trainer.accelerator.device)),
        "versions": versions(),
    }  # fmt: skip


def reflection_cost(args: FastSlowConfig, spent: Mapping[str, Any]) -> float | None:
    """US dollars paid to the reflection endpoint: 0 where none was asked, None where its price is not known."""
    if not spent["calls"] or not args.reflection_base_url:
        return 0.0
    if args.reflection_price_prompt is None or args.reflection_price_completion is None:
        return None
    prompt, completion = args.reflection_price_prompt, args.reflection_price_completion
    return (spent["prompt_tokens"] * prompt + spent["completion_tokens"] * completion) / 1e6


class _StopAtStepEnd(TrainerCallback):
    def __init__(self, trainer: FastSlowTrainer, caught: list[str]):
        self.trainer = trainer
        self.caught = caught

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.wall_time.step_ends()
        if self.trainer.out_of_time() or self.caught:
            control.should_training_stop = True
            control.should_save = self.trainer.must_save = True


@contextmanager
def stop_when_told(trainer: FastSlowTrainer) -> Iterator[list[str]]:
    """SIGINT, SIGTERM and the ceiling of wall time end the run after the current step, with a checkpoint; a second
    signal ends it at once. Yields the names of the signals."""
    caught: list[str] = []
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        caught.append(signal.Signals(number).name)
        trainer.recorder.display.note(
            f"{signal.Signals(number).name}: stopping after this step; everything will be saved. Again to stop at once."
        )
        for each, handler in previous.items():
            signal.signal(each, handler)

    try:
        previous = {number: signal.signal(number, handle) for number in map(signal.Signals.__getitem__, SIGNALS)}
    except ValueError:  # not the main thread: a notebook or a server; signals stay whose they are
        previous = {}
    trainer.add_callback(_StopAtStepEnd(trainer, caught))
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_code(summary: dict[str, Any]) -> int:
    """0 for a run that is finished or has used its time up, 128 + number for one that a signal stopped."""
    status = str(summary.get("status", "done"))
    return next((code for name, code in SIGNALS.items() if status.endswith(name)), 0)


def _title(config: FastSlowConfig, trainer: FastSlowTrainer) -> str:
    task = trainer.parts.task
    on = " + ".join(short_names(config.tasks).values()) if config.tasks else config.task or task.name
    told = {"stream": config.stream or SEQUENCE if config.tasks else "", "labels": config.labels,
            "clusters": config.clusters, "router": config.router}  # fmt: skip
    usual = {"stream": "", "labels": "visible", "clusters": "none", "router": "both"}
    settings = "".join(f", {name} {value}" for name, value in told.items() if value != usual[name])
    return (
        f"fastslow {config.mode}: {config.model} on {on}{settings}, {config.max_steps} steps of "
        f"{config.problems_per_step} problems x {config.num_generations} rollouts, "
        f"{len(task.split('train'))} training and {len(task.split('validation'))} validation examples"
    )
