"""Give a run its place in trackers, so that a resumed run goes on in the run that the tracker has of it.

trackio resumes the run of a name, wandb the one of an id, and tensorboard shows a folder as one run. MLflow makes its
ids itself: there a resumed run is a second run of the same name.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import RunDirectory

FILE = "tracker.json"


@dataclass(frozen=True)
class TrackerRun:
    """The run of the trackers that belongs to a run directory."""

    id: str
    name: str

    def keep(self, run: RunDirectory) -> None:
        """Write it into the run directory, for a resume to find it. Raises OSError."""
        run.write_json(FILE, asdict(self))


@contextmanager
def tracked(folder: Path, *, trackers: Sequence[str], project: str, name: str | None) -> Iterator[TrackerRun | None]:
    """Tell trackers, in the environment that they read when a trainer is made, where this run belongs.

    What the environment says already stays as it is, and afterwards it is as it was.

    Args:
        folder: the run directory; the first run of a tracker in it takes its name, with a few random digits, because
            runs in other folders may have the same.
        trackers: those of the run; without any the result is None.
        project: the project in the tracker.
        name: the run's name where the user gave one.

    Raises BadInput where the folder's tracker.json is damaged.
    """
    if not trackers:
        yield None
        return
    run = _run_of(folder, name)
    wanted = {
        "WANDB_PROJECT": project,
        "WANDB_RUN_ID": run.id,
        "WANDB_RESUME": "allow",
        "MLFLOW_EXPERIMENT_NAME": project,
        "TENSORBOARD_LOGGING_DIR": str(folder / "runs"),
    }
    ours = {variable: value for variable, value in wanted.items() if variable not in os.environ}
    os.environ.update(ours)
    try:
        yield run
    finally:
        for variable in ours:
            os.environ.pop(variable, None)


def _run_of(folder: Path, name: str | None) -> TrackerRun:
    """Return the run that is kept in the folder, or a new one."""
    file = folder / FILE
    try:
        kept = TrackerRun(**json.loads(read_plain(file)))
    except FileNotFoundError:
        fresh = secrets.token_hex(8)
        return TrackerRun(fresh, name or f"{folder.absolute().name}-{fresh[:6]}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"'{file}' is damaged ({type(error).__name__}); delete it for a new run in trackers.") from error
    if not (isinstance(kept.id, str) and isinstance(kept.name, str)):
        raise BadInput(f"'{file}' is damaged (no texts); delete it for a new run in trackers.")
    return kept
