"""A trainer that can be killed: what it saves at a step's end, when, and how it takes that up again.

transformers says when a checkpoint is due and calls what restores one in its order; what is in it (`snapshot`) and how
it reaches the disk (`checkpoint`, beside the next step: `saving`) is ours. It is there before the weights move again,
so that no more than one finished step can be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerState

from fastslow.contexts.population import Population
from fastslow.core.errors import FastSlowError
from fastslow.core.measurement import Measurement, means
from fastslow.core.modes import Mode
from fastslow.core.types import Example, Trace
from fastslow.files.background import Background, SavingTime
from fastslow.files.run_directory import RunDirectory, versions
from fastslow.files.sealed import Checkpoints, verify
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.policy.policy import Policy
from fastslow.record.recorder import Recorder
from fastslow.run.assemble import Components
from fastslow.run.wall_time import WallTime
from fastslow.slow import state as snapshot
from fastslow.slow.steering import Steering
from fastslow.slow.trainer import SlowChannel
from fastslow.topics.topics import Topics


class ResumableTrainer(SlowChannel):
    """SlowChannel with checkpoints of both channels. Without a run directory it makes none."""

    # What a checkpoint holds besides the slow channel's own; set by FastSlowTrainer.
    mode: Mode
    recorder: Recorder
    parts: Components
    policy: Policy
    population: Population
    steering: Steering
    topics: Topics
    _cache: RolloutCache
    _experience: list[Trace]
    _fast_pool: dict[str, Example]
    # Of transformers, known to be there once training has begun.
    optimizer: Any
    lr_scheduler: Any

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.best: tuple[float, int] | None = None  # accuracy and step of the best evaluation so far
        self.must_save = False  # a signal waits for the end of the step
        self._saved = SavingTime(self.args.save_time_share)
        self._writer = Background()
        self.wall_time = WallTime(self.args.max_minutes, lambda: self.recorder.elapsed())
        self._overlaps = True
        self.time_is_up = False  # by max_minutes
        self._resuming: tuple[Path, dict[str, Any]] | None = None
        self.add_callback(_Moments(self))

    def train(self, *args: Any, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """TRL's training. `resume_from_checkpoint` is a folder that `checkpoint.verify` has passed."""
        if resume_from_checkpoint is not None:
            folder = Path(resume_from_checkpoint)
            self._resuming = folder, snapshot.read_state(folder)
            snapshot.restore_channels(self, *self._resuming)
            self.args.eval_on_start = False  # that was then
            self.state = TrainerState.load_from_json(str(folder / snapshot.TRAINER))
            if self.out_of_time():  # at once: what is there makes a bundle and a summary
                return snapshot.restore_weights(self, folder)
        with self._writer:
            result = super().train(*args, resume_from_checkpoint=resume_from_checkpoint, **kwargs)
            self.wait_for_checkpoint()
        return result

    def out_of_time(self) -> bool:
        """Whether no further step may begin, or, after the last, the closing measurements; `time_is_up` from then on.
        Every process gets the same answer."""
        last = self.state.global_step >= self.args.max_steps
        answer = [self.wall_time.is_over if last else not self.wall_time.allows_a_step()]
        if self.args.max_minutes is not None:
            broadcast_object_list(answer)  # clocks differ between processes
        self.time_is_up = self.time_is_up or answer[0]
        return self.time_is_up

    @property
    def shipped_context(self) -> str:
        """The kind of context a bundle of this run is used with: chosen by the question where topics have their own."""
        return self.mode.ships(chosen=bool(self.topics.kinds))

    def note_best(self, measurements: Sequence[Measurement]) -> None:
        """Remember the step of the best validation accuracy so far."""
        accuracy = means(measurements, "accuracy").get(self.shipped_context)
        if accuracy is not None and (self.best is None or accuracy > self.best[0]):
            self.best = accuracy, self.state.global_step

    @property
    def kept_best(self) -> int | None:
        """Step of the best evaluation so far, where its checkpoint is to be kept."""
        return self.best[1] if self.best is not None and self.args.keep_best else None

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Begin one commit of both channels and all state; `wait_for_checkpoint` says how it went."""
        self.wait_for_checkpoint()
        run, step = self.recorder.run, self.state.global_step
        due = [self._must_save(step) or self._saved.allows_another()]
        broadcast_object_list(due)  # clocks differ between processes
        if not due[0]:
            return
        ranks = snapshot.gather_ranks(self)
        if run is not None:
            with self._saved.taking(), self.recorder.phase("save", step):
                self._begin(run, step, ranks)
            if not self._overlaps:
                self.wait_for_checkpoint()
        self.accelerator.wait_for_everyone()

    def wait_for_checkpoint(self) -> None:
        """Until the last one is whole. Raises FastSlowError where the disk does not take it."""
        if not self._writer.pending:
            return
        try:
            with self._saved.waiting(), self.recorder.phase("save", self.state.global_step):
                self._writer.wait()
        except snapshot.WeightsMoved as moved:
            self._overlaps = False
            self.recorder.display.note(
                f"one checkpoint is left out: something other than the optimiser changed '{moved}' while it was being "
                "written. From now on training waits for every checkpoint."
            )

    def _must_save(self, step: int) -> bool:
        milestone = self.args.keep_every and step % self.args.keep_every == 0
        marked = step in (self.kept_best, self.steering.good_step)
        return bool(self.must_save or marked or milestone or step >= self.state.max_steps)

    def checkpoints(self, run: Path) -> Checkpoints:
        return Checkpoints(run, keep_last=self.args.keep_last, keep_every=self.args.keep_every)

    def _begin(self, run: RunDirectory, step: int, ranks: list[dict[str, Any]]) -> None:
        """Take what is to be saved; the rest is done beside the next step, whatever that changes."""
        checkpoints, kept = self.checkpoints(run.path), (self.kept_best, self.steering.good_step)

        def commit(proceed: Callable[[], None]) -> None:
            with _explained(checkpoints, step):
                run.sync()
                written = standing.write(aside, proceed)
                checkpoints.commit(step, {"versions": versions()}, written)
                checkpoints.prune(*kept)

        with _explained(checkpoints, step):
            aside = checkpoints.begin(step)
            standing = snapshot.take(self, aside, ranks)
        self._writer.start(commit)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        snapshot.restore_weights(self, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self._resuming:
            snapshot.restore_optimizer(self, self._resuming[1])

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Restored with the optimiser."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._resuming:
            snapshot.restore_random(self, self._resuming[1])

    @property
    def good_checkpoint(self) -> int | None:
        """The step to roll back to. None where there is none, or where its checkpoint is gone: of a run that was taken
        up again from a milestone, it may have been dropped since."""
        run, step = self.recorder.run, self.steering.good_step
        gone = step is None or (run is not None and not self.checkpoints(run.path).folder(step).is_dir())
        return None if gone else step

    def roll_back(self, step: int) -> None:
        """Weights and optimiser as they were at `step`; contexts, router and stream stay where they are.

        Raises Damaged where that checkpoint is not what was written.
        """
        if self.recorder.run is None:
            raise FastSlowError("without a run directory there is no checkpoint to roll back to.")
        self.wait_for_checkpoint()
        folder = self.checkpoints(self.recorder.run.path).folder(step)
        verify(folder)
        snapshot.restore_weights(self, folder)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(snapshot.read_state(folder)["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # the schedule goes on

    def after_loop_begins(self) -> None:
        """transformers has just set its counters to those of a new run."""
        if self._resuming:
            snapshot.restore_loop(self, self._resuming[1])


@contextlib.contextmanager
def _explained(checkpoints: Checkpoints, step: int) -> Iterator[None]:
    """One line for a disk that does not take `step`'s checkpoint, and nothing half written left on it."""
    try:
        yield
    except snapshot.WeightsMoved:
        checkpoints.sweep()
        raise
    except OSError as error:
        with contextlib.suppress(OSError):
            checkpoints.sweep()
        whole = [f"checkpoint-{s} is whole" for s in checkpoints.steps() if s < step][-1:] or ["there is none yet"]
        raise FastSlowError(
            f"checkpoint-{step} could not be written to '{checkpoints.run}': "
            f"{getattr(error, 'strerror', None) or error}. Of those before, {whole[0]}. Make room and go on with: "
            f"fastslow resume {checkpoints.run}"
        ) from error


class _Moments(TrainerCallback):
    """Where transformers tells a callback and gives a trainer no method to override."""

    def __init__(self, trainer: ResumableTrainer):
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.after_loop_begins()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.wall_time.steps_begin()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.wait_for_checkpoint()
