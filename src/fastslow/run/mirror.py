"""Copy checkpoints to a second place beside training, newest first, and go on where that place fails for a while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.fast.reflection.journal import JOURNAL
from fastslow.files import jsonl
from fastslow.files.background import Abandoned
from fastslow.files.locks import alone_in
from fastslow.files.run_directory import FILES, RunDirectory
from fastslow.files.sealed import Checkpoints
from fastslow.files.second_place import SecondPlace
from fastslow.files.snapshot import read_plain

WAIT, LONGEST_WAIT = 10.0, 600.0
"""Seconds before a copy that failed is tried again, doubled each time up to the longest; a newer checkpoint is tried at
once."""
LAST_TRIES = 3
"""Attempts once the run is over: it ends even where the second place does not come back."""


def open_place(url: str, run: Path) -> SecondPlace:
    """Open the second place of a run that begins in the directory `run`. Raises BadInput where it cannot be written to,
    lies in the run directory or around it, or holds a run."""
    place = SecondPlace(url)
    place.refuse_overlap(run)
    try:
        taken = place.holds_a_run()
        if not taken:
            place.try_out()
    except Exception as error:  # each file system has exceptions of its own
        raise BadInput(f"save_to '{url}' cannot be written to ({_one_line(error)}).") from error
    if taken:
        raise BadInput(
            f"save_to '{url}' already holds a run; give another place, or go on with that run: fastslow resume {url}"
        )
    return place


def fetch(url: str, folder: str | Path, checkpoint: str | None = None) -> str:
    """Copy a run from a second place into an empty folder, with one checkpoint to go on from, and return its name.

    Raises BadInput where the folder is not empty, and where the place cannot be read or holds no such checkpoint;
    Damaged for a checkpoint that is not what was written.
    """
    folder = Path(folder)
    RunDirectory.refuse_existing(folder)
    place = SecondPlace(url)
    place.refuse_overlap(folder)
    with alone_in(folder):
        try:
            return place.pull(folder, checkpoint)
        except FastSlowError:
            raise
        except Exception as error:  # each file system has exceptions of its own
            raise BadInput(f"'{url}' cannot be read ({_one_line(error)}).") from error


class Mirror:
    """Keep a copy of a run directory at a second place.

    `offer` says that a checkpoint is whole; a thread copies the newest offered one, after config.yaml and the logs up
    to that checkpoint. A copy that fails is noted and tried again, and never ends the run.

    Args:
        place: where to.
        checkpoints: those of the run directory, with its rules of retention, which hold at the second place as well.
        note: shows a line to the user.
    """

    def __init__(self, place: SecondPlace, checkpoints: Checkpoints, note: Callable[[str], None]):
        place.refuse_overlap(checkpoints.run)
        self._place = place
        self._checkpoints = checkpoints
        self._note = note
        self._change = threading.Condition()
        self._offered: tuple[int, tuple[int | None, ...]] | None = None
        self._copying: int | None = None
        self._closing = self._abandoned = False
        self._configured = False
        self._failures = 0
        self._thread = threading.Thread(target=self._work, name="second place", daemon=True)
        self._thread.start()

    @property
    def run(self) -> Path:
        return self._checkpoints.run

    def held(self) -> Collection[int]:
        """Return the step whose checkpoint is being copied and must stay on the disk; none at other times."""
        with self._change:
            return () if self._copying is None else (self._copying,)

    def offer(self, step: int, *needed: int | None) -> None:
        """Have the checkpoint of `step` copied, in place of an older one that still waits; `needed` are steps that are
        kept besides those that the rules keep."""
        with self._change:
            self._offered = step, needed
            self._change.notify_all()

    def rewind(self, step: int, positions: Mapping[str, int]) -> None:
        """Bring the copy to where the resumed run stands. Raises BadInput where another run is there; a place that
        fails is noted, as it is later."""
        try:
            if self._place.holds_a_run():
                if not self._place.is_of(self.run):
                    raise BadInput(f"save_to '{self._place.url}' holds another run; empty it, or give another place.")
                self._place.rewind(step, positions)
        except BadInput:
            raise
        except Exception as error:
            self._note(f"warning: the second place '{self._place.url}' cannot be read ({_one_line(error)}).")

    def finish(self, *needed: int | None) -> None:
        """Copy the end of a run: logs, summary and bundle; then keep its milestones only."""
        self.close()
        files = [path for path in self.run.rglob("*") if path.is_file() and self._is_of_the_end(path)]

        def copy() -> None:
            self._place.push_config(self.run)
            self._place.push_logs(self.run, self._lengths(*FILES, JOURNAL), self._proceed)
            for path in files:
                self._place.push_file(path, path.relative_to(self.run).as_posix())
            steps = self._place.steps()
            for step in set(steps) - self._checkpoints.milestones(steps, *needed[:1]):
                self._place.drop(f"checkpoint-{step}")

        for attempt in range(LAST_TRIES):
            try:
                return copy()
            except Exception as error:
                self._warn("the end of the run", error, again=attempt + 1 < LAST_TRIES)
        return None

    def close(self) -> None:
        """Wait until the last offered checkpoint is copied, or has failed for the last time."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()

    def abandon(self) -> None:
        """Stop copying at once."""
        self._abandoned = True

    def _work(self) -> None:
        tries = 0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._offered is not None or self._closing)
                if self._offered is None:
                    return
                step, needed = offered = self._offered
                self._copying = step
            copied = self._attempt(step, needed)
            with self._change:
                self._copying = None
                if copied and self._offered == offered:
                    self._offered = None
                if copied:
                    tries = 0
                    continue
                tries += self._closing
                if self._abandoned or tries >= LAST_TRIES:
                    return
                wait = 0.0 if self._closing else min(WAIT * 2 ** (self._failures - 1), LONGEST_WAIT)
                self._change.wait_for(lambda offered=offered: self._offered != offered or self._closing, timeout=wait)

    def _attempt(self, step: int, needed: tuple[int | None, ...]) -> bool:
        """Copy one checkpoint, and return whether that is done with."""
        folder = self._checkpoints.folder(step)
        try:
            positions = read_plain(folder, "recorder")["positions"]
            if not self._configured:
                self._place.push_config(self.run)
                self._configured = True
            self._place.push_logs(self.run, {**positions, **self._lengths(JOURNAL)}, self._proceed)
            self._place.push_checkpoint(folder, self._proceed)
            steps = self._place.steps()
            for old in set(steps) - self._checkpoints.retained(steps, *needed):
                self._place.drop(f"checkpoint-{old}")
        except Abandoned:
            return False
        except Exception as error:  # each file system has exceptions of its own, and none of them may end the run
            if not folder.is_dir():
                return True  # deleted meanwhile, as a rollback does: a newer one will come
            self._failures += 1
            self._warn(folder.name, error, again=True)
            return False
        if self._failures:
            self._note(f"{folder.name} is at the second place '{self._place.url}' now.")
        self._failures = 0
        return True

    def _warn(self, what: str, error: Exception, *, again: bool) -> None:
        goes_on = "it is tried again" if again else "the run directory has it"
        self._note(f"warning: '{self._place.url}' did not take {what} ({_one_line(error)}); {goes_on}.")

    def _proceed(self) -> None:
        if self._abandoned:
            raise Abandoned

    def _lengths(self, *names: str) -> dict[str, int]:
        """Return how long each log is, up to its last whole line: a line that a kill cut off will be taken away."""
        return {name: jsonl.end_of_lines(self.run / name) for name in names}

    def _is_of_the_end(self, path: Path) -> bool:
        top = path.relative_to(self.run).parts[0]
        return top == "bundle" or top in ("summary.json", "population.json", "archive.json")


@contextlib.contextmanager
def mirroring(mirror: Mirror | None):
    """Leave no copy half done at the end of the block; where the block is interrupted, stop copying."""
    try:
        yield
    except Exception:
        if mirror is not None:
            mirror.close()
        raise
    except BaseException:
        if mirror is not None:
            mirror.abandon()
        raise


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
