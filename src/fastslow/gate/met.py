"""Know every question that the runs behind two bundles were trained or selected on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from fastslow.bundles.ancestry import OF_QUESTIONS, UNKNOWN, ancestors_of
from fastslow.bundles.bundle import open_task, tasks_of
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import Example
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.spec import parse_spec
from fastslow.tasks.splits import identity

Settings = Mapping[str, Any]


class Met:
    """Hold what two bundles were trained or selected on, by the runs that made them and the runs before those.

    The questions are asked for once, when the first one is looked up, however many tasks a policy has.

    Args:
        runs: settings of runs, as `lineage` has them; one that stands there twice counts once.
        trusted: whether code that a run's task of this name imports may be run.

    Attributes:
        runs: the settings of each run, in this order.
        notes: what could not be known, for the verdict.
    """

    def __init__(self, runs: Iterable[Settings], *, trusted: Callable[[str], bool]):
        found = {json.dumps([one.get(key) for key in (*OF_QUESTIONS, UNKNOWN)]): one for one in runs}
        self.runs = [one for one in found.values() if UNKNOWN not in one]
        self.notes = [
            f"which questions the weights met before is not known as a whole ({str(one[UNKNOWN]).rstrip('.')})"
            for one in found.values()
            if UNKNOWN in one
        ]
        self._trusted = trusted

    def unmet(self, examples: Sequence[Example], *, apart: bool) -> tuple[Example, ...]:
        """Return the examples that no run was trained or selected on.

        With `apart`, the source itself holds them apart from those of its own training, and a run whose questions
        cannot be asked for is noted. Otherwise such a run raises BadInput.
        """
        met, problem = self._met
        if problem is not None and not apart:
            raise problem
        note = f"not every question of training could be left out: {problem}".rstrip(".")
        if problem is not None and note not in self.notes:
            self.notes.append(note)
        return tuple(example for example in examples if _short(identity(example.messages)) not in met)

    @cached_property
    def _met(self) -> tuple[set[bytes], BadInput | None]:
        """The identities of all questions that could be asked for, and the first problem with the others."""
        met: set[bytes] = set()
        problem: BadInput | None = None
        for settings in self.runs:
            for name in tasks_of(settings):
                try:
                    met.update(_short(identity(e.messages)) for e in _examples(name, settings, self._trusted(name)))
                except BadInput as error:
                    problem = problem or error
                except FastSlowError as error:  # a stream that broke off
                    problem = problem or BadInput(str(error))
        return met, problem


def lineage(folder: Path, settings: Settings) -> list[Settings]:
    """Return the settings of a bundle's run, then those of the runs before it."""
    return [settings, *ancestors_of(folder, settings)]


def _examples(name: str, settings: Settings, trusted: bool) -> Iterator[Example]:
    """Yield what a run was trained or selected on: of a stream, as far as the run may have read."""
    task = open_task(name, settings, trusted=trusted)
    held = chain(task.split("train"), task.split("validation"))
    return chain(held, _streamed(task, settings)) if isinstance(task, StreamedTask) else held


def _streamed(task: StreamedTask, settings: Settings) -> Iterator[Example]:
    taken = settings.get("questions_taken", settings["train_size"])
    if taken is None and not Path(parse_spec(task.name).rest).expanduser().exists():
        raise BadInput(
            f"how far a run read the stream of '{task.name}' is not in its bundle, which an older version wrote, and a "
            "stream from elsewhere may have no end; gate it on questions of a generator, or train it again."
        )
    return task.up_to(taken)


def _short(text: str) -> bytes:
    """Return 16 bytes for a text: a run may have read millions of questions."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
