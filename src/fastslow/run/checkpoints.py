"""Save a run: when a checkpoint is written, which ones are kept, and how the run goes back to one.

The parts of a run define the content of a checkpoint (`files.snapshot`), and `files.sealed` commits it to the disk. A
checkpoint is written beside the next step (`files.background`) and is complete before the weights move again, so that
no more than one finished step can be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastslow.config.settings import FastSlowConfig
from fastslow.core import processes
from fastslow.core.errors import FastSlowError
from fastslow.files import snapshot
from fastslow.files.background import Background, SavingTime
from fastslow.files.run_directory import FILES, RunDirectory, versions
from fastslow.files.sealed import Checkpoints, verify
from fastslow.files.second_place import SecondPlace
from fastslow.files.snapshot import Cut, Stateful, read_plain
from fastslow.record.recorder import Recorder
from fastslow.run.mirror import Mirror, mirroring
from fastslow.slow.channel import PROGRESS, SlowChannel
from fastslow.slow.steering import Steering


class Checkpointing:
    """Save a run's parts at the ends of steps. Without a run directory nothing is saved.

    Args:
        config: the run's settings.
        parts: what a checkpoint holds besides the weights, by name; this object adds itself as "checkpoints".
        slow: whose weights are saved.
        steering: says which step may be rolled back to.
        recorder: knows the run directory, and charges the time.
    """

    def __init__(
        self,
        config: FastSlowConfig,
        *,
        parts: Mapping[str, Stateful],
        slow: SlowChannel,
        steering: Steering,
        recorder: Recorder,
    ):
        self.parts: dict[str, Stateful] = {**parts, "checkpoints": self}
        self.best: tuple[float, int] | None = None
        """Accuracy and step of the best evaluation so far."""
        self.must_save = False
        """Whether the step that ends now has to be saved, whatever its checkpoint costs."""
        self.evaluation_due = False
        """Whether the state is that before an evaluation of its step, which a resumed run makes first."""
        self._config = config
        self._slow = slow
        self._steering = steering
        self._recorder = recorder
        self._time = SavingTime(config.save_time_share)
        self._writer = Background()
        self._mirror: Mirror | None = None
        self._overlaps = True
        self._cut = Cut(weights=slow.sharding.of_weights, states=slow.sharding.of_optimiser)
        self._held: tuple[int, snapshot.Taken | None] | None = None
        """Step and content of a checkpoint that is in memory only."""
        self._saved: int | None = None
        """Step of the newest checkpoint that was begun, or that the run went on from."""
        self._shares: tuple[int, dict[str, Any], tuple[int | None, ...]] | None = None
        """Step of the checkpoint that all processes are writing, the files that this one has written of it, and the
        steps whose checkpoints are needed besides."""

    # Which steps matter

    def note_accuracy(self, accuracy: float | None) -> None:
        """Remember the step of the best validation accuracy so far."""
        if accuracy is not None and (self.best is None or accuracy > self.best[0]):
            self.best = accuracy, self._slow.step

    @property
    def kept_best(self) -> int | None:
        """Step of the best evaluation so far, where its checkpoint is to be kept."""
        return self.best[1] if self.best is not None and self._config.keep_best else None

    def keeps(self, step: int) -> bool:
        """Return whether the checkpoint of `step` is needed, whatever the schedule says."""
        return step in (self.kept_best, self._steering.good_step)

    @property
    def good_step(self) -> int | None:
        """The step to roll back to, or None where there is none or its checkpoint is gone: a run resumed from a
        milestone may have dropped that checkpoint since. Every process gets the same answer."""
        step, run = self._steering.good_step, self._recorder.run

        def is_gone() -> bool:
            return step is None or run is None or not self.of(run).folder(step).is_dir()

        return None if processes.from_main(is_gone) else step

    def of(self, run: RunDirectory) -> Checkpoints:
        """Return the checkpoints of `run`, with the retention rules of this run."""
        return Checkpoints(run.path, keep_last=self._config.keep_last, keep_every=self._config.keep_every)

    # Saving

    def save(self) -> None:
        """Begin a checkpoint of both channels and all state; `wait` reports the result. Every process calls this
        method."""
        self.wait()
        step = self._slow.step
        if not processes.from_main(lambda: self._is_due(step)):  # clocks differ between processes
            return
        self._slow.check_finite()
        self._write(step, self._take)

    def hold(self, *, evaluation_due: bool = False) -> None:
        """Take down the state after the current step, where no checkpoint has it: the fast phase or evaluation that
        comes next may be ended early, and is then made again from here. Every process calls this method."""
        step = self._slow.step
        if step in (0, self._saved):  # a run without a step starts over
            return
        self.evaluation_due = evaluation_due
        self._held = step, self._take()
        self.evaluation_due = False

    def save_held(self) -> None:
        """Make a checkpoint of what is held, if anything is. Every process calls this method."""
        self.wait()
        if self._held is not None:
            step, taken = self._held
            self._write(step, lambda: taken)
            self.wait()

    def weights_change_next(self) -> None:
        """Wait until the checkpoint of the step before is whole, and let go of what is held, which changes with the
        weights. Every process calls this method."""
        self.wait()
        self._held = None

    def settle_evaluation(self) -> None:
        """Save again, once the evaluation that was due has been made. Every process calls this method."""
        if self.evaluation_due:
            self.evaluation_due = False
            self._write(self._slow.step, self._take)

    def _take(self) -> snapshot.Taken | None:
        """Take down the state; None where this process writes nothing of it."""
        states = snapshot.states_of(self.parts)
        if self._recorder.run is None and not self._cut.anything:
            return None
        taken: list[snapshot.Taken] = []
        others = {PROGRESS: self._slow.progress()}

        def take() -> None:
            taken.append(snapshot.take(self.parts, states, self._slow.weights, others, self._cut))

        processes.together(take) if self._cut.anything else take()
        return taken[0]

    def _write(self, step: int, take: Callable[[], snapshot.Taken | None]) -> None:
        """Begin the checkpoint of `step`."""
        run = self._recorder.run
        if run is None and not self._cut.anything:
            take()  # every process says what it has
        else:
            with self._time.taking(), self._recorder.phase("save", step):
                taken = take()
                assert taken is not None
                self._begin_share(step, taken) if self._cut.anything else self._begin(step, taken)
            if not self._overlaps:
                self.wait()
        self._held, self._saved = None, step
        processes.wait()

    def wait(self) -> None:
        """Return when the last checkpoint is whole. Raises FastSlowError where the disk does not take it. Every process
        calls this method."""
        if not self._writer.pending:
            return
        try:
            with self._time.waiting(), self._recorder.phase("save", self._slow.step):
                self._finish_shares() if self._shares is not None else self._writer.wait()
        except snapshot.WeightsMoved as moved:
            self._overlaps, self._saved = False, None
            self._recorder.display.note(
                f"one checkpoint is left out: something other than the optimiser changed '{moved}' while it was being "
                "written. From now on training waits for every checkpoint."
            )

    @contextlib.contextmanager
    def writing(self, start: Path | None = None) -> Iterator[None]:
        """Wait at the end for the checkpoint that is still being written, and for its copy at a second place, so that
        nothing is left half done. `start` is the checkpoint that training goes on from."""
        self._mirror = self._open_mirror(start)
        with mirroring(self._mirror):
            with self._writer:
                yield
                self.wait()
            if self._mirror is not None:
                self._mirror.close()

    def _open_mirror(self, start: Path | None) -> Mirror | None:
        run, url = self._recorder.run, self._config.save_to
        if run is None or not url:
            return None
        mirror = Mirror(SecondPlace(url), self.of(run), self._recorder.display.note)
        nothing: dict[str, int] = dict.fromkeys(FILES, 0)
        positions = read_plain(start, "recorder")["positions"] if start else nothing
        mirror.rewind(self._slow.step if start else -1, positions)
        return mirror

    def finish(self) -> None:
        """Delete what served only for resuming a run that is done now, and copy its end to the second place."""
        run = self._recorder.run
        if run is None:
            return
        self.of(run).drop_all_but_milestones(self.kept_best)
        if self._mirror is not None:
            self._mirror.finish(self.kept_best)

    def _is_due(self, step: int) -> bool:
        milestone = self._config.keep_every and step % self._config.keep_every == 0
        last = step >= self._slow.last_step
        return bool(self.must_save or self.keeps(step) or milestone or last or self._time.allows_another())

    def _begin(self, step: int, taken: snapshot.Taken) -> None:
        """Write what the next step may change; the rest is written beside that step."""
        run = self._recorder.run
        assert run is not None
        checkpoints, needed = self.of(run), (self.kept_best, self._steering.good_step)

        def commit(proceed: Callable[[], None]) -> None:
            self._seal(run, step, needed, lambda: standing.write(aside, proceed))

        with _explained(checkpoints, step):
            aside = checkpoints.begin(step)
            standing = taken.put(aside)
        self._writer.start(commit)

    def _seal(
        self,
        run: RunDirectory,
        step: int,
        needed: tuple[int | None, ...],
        write: Callable[[], Mapping[str, Any]],
        **about: Any,
    ) -> None:
        """Commit the files that `write` returns as a checkpoint, drop older ones, and have it copied to the second
        place."""
        checkpoints = self.of(run)
        with _explained(checkpoints, step):
            run.sync()
            checkpoints.commit(step, {"versions": versions(), **about}, write())
            checkpoints.prune(*needed, held=self._mirror.held() if self._mirror is not None else ())
        if self._mirror is not None:
            self._mirror.offer(step, *needed)

    def _begin_share(self, step: int, taken: snapshot.Taken) -> None:
        """Begin a checkpoint of which every process writes its share beside the next step; `_finish_shares` commits."""
        aside = processes.from_main(lambda: self._aside(step))
        if aside is None:
            return

        def put() -> None:
            taken.put(aside)

        with _explained(self._here, step):
            processes.together(put)
        written: dict[str, Any] = {}
        self._shares = step, written, (self.kept_best, self._steering.good_step)
        self._writer.start(lambda proceed: written.update(taken.standing.write(aside, proceed)))

    def _aside(self, step: int) -> Path | None:
        """Make the folder that all processes write into; None without a run directory."""
        if self._recorder.run is None:
            return None
        with _explained(self._here, step):
            return self._here.begin(step)

    def _finish_shares(self) -> None:
        """Commit the checkpoint once every process has written its share. Every process calls this method."""
        assert self._shares is not None
        (step, own, needed), self._shares = self._shares, None

        def written() -> dict[str, Any]:
            self._writer.wait()
            return own

        def commit() -> None:
            run, checkpoints = self._recorder.run, self._here
            assert run is not None
            missing = [name for name in files if not (checkpoints.run / f"checkpoint-{step}.tmp" / name).is_file()]
            if missing:
                raise FastSlowError(
                    f"checkpoint-{step}: '{missing[0]}' was written by another process and is not in "
                    f"'{checkpoints.run}' here; processes on several machines need an output_dir that all of them see."
                )
            self._seal(run, step, needed, lambda: files, processes=processes.count())

        with _explained(self._here, step):
            shares = processes.together(written)
        files = {name: about for share in shares for name, about in share.items()}
        processes.from_main(commit)

    @property
    def _here(self) -> Checkpoints:
        """The checkpoints of this run, on any process."""
        config = self._config
        return Checkpoints(Path(str(config.output_dir)), keep_last=config.keep_last, keep_every=config.keep_every)

    # Going back

    def check(self, folder: Path) -> None:
        """Raise BadInput where a verified checkpoint does not fit this run, before anything of the run is changed."""
        self._cut.check(folder)
        self._slow.check_fits(folder)
        # The tallies and the clock count what they are given: they take up their state once, in `restore`.
        others = {name: part for name, part in self.parts.items() if part is not self._recorder}
        snapshot.load(others, snapshot.read(folder), folder)

    def restore(self, folder: Path) -> None:
        """Have every part take up its state of a verified checkpoint; weights and optimiser follow as training begins.

        Raises BadInput for a state that no version of ours wrote, and where it does not fit this run.
        """
        snapshot.load(self.parts, snapshot.read(folder), folder)
        self._slow.load_progress(folder)
        self._saved = self._slow.step

    def roll_back(self, step: int) -> None:
        """Set weights and optimiser to those of `step`; contexts, router and stream stay where they are.

        Raises Damaged where that checkpoint is not what was written.
        """
        if processes.from_main(lambda: self._recorder.run is None):
            raise FastSlowError("without a run directory there is no checkpoint to roll back to.")
        self.wait()
        processes.wait()
        folder = self._here.folder(step)
        verify(folder)
        self._slow.roll_back(folder, snapshot.read(folder)["slow"])

    def state_dict(self) -> dict[str, Any]:
        """Return the best step so far, and whether an evaluation is still to be made."""
        return {"best": list(self.best) if self.best else None, "evaluation_due": self.evaluation_due}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the best step so far, and whether an evaluation is due, which older checkpoints do not say."""
        self.best = tuple(state["best"]) if state["best"] else None
        self.evaluation_due = bool(state.get("evaluation_due"))


@contextlib.contextmanager
def _explained(checkpoints: Checkpoints, step: int) -> Iterator[None]:
    """Say in one line that a disk does not take `step`'s checkpoint, and leave nothing half written on the disk."""
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
