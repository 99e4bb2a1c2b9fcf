"""The measurements of single examples by `fastslow probe-routes`, and the file that holds them."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.types import Route
from fastslow.files import jsonl
from fastslow.files.locks import try_lock

ARMS = (Route.FAST, Route.SLOW, Route.BOTH)

EXPECTED_GAINS = "hopes"
"""Key of `Probe.expected_gains` in the file."""


@dataclass(frozen=True)
class ProbePlan:
    """How an example is probed.

    Args:
        examples: how many of the training examples are probed.
        steps: slow steps of one arm; the other arms may spend as many rollouts.
        held_out: validation examples beside the example itself.
        samples: rollouts per held-out example on either side of an arm; the example itself gets as many in all.
        seed: of the choice of examples, and of every draw.
    """

    examples: int = 16
    steps: int = 4
    held_out: int = 16
    samples: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Probe:
    """The counterfactuals of one example.

    `gains` holds for FAST, SLOW and BOTH two independent estimates of the change of success, from separate halves of
    the samples: one chooses the best route, the other values it. `routes` is what each rule decided
    and `expected_gains` the gain per cost that `learned` expected of each route. `topic` is what the rules knew the
    example by, `task` the truth.
    """

    example_id: str
    task: str
    topic: str
    evidence: Mapping[str, Any]
    routes: Mapping[str, str]
    expected_gains: Mapping[str, float]
    gains: Mapping[str, tuple[float, float]]
    rollouts: Mapping[str, int]

    def gain(self, route: str) -> float:
        """Return the change of success, the mean of both estimates; 0 for SKIP."""
        return 0.0 if route == Route.SKIP.value else sum(self.gains[route]) / 2

    def best(self) -> str:
        """The route with the highest gain; SKIP where no route gains anything."""
        return max((route.value for route in (Route.SKIP, *ARMS)), key=self.gain)


class ProbesFile:
    """Append to a file of probes: one line of JSON on the plan (`about`), then one for each example, a Probe or a note
    that it cannot be scored.

    Held by one process at a time. A last line that a kill cut short is taken off. Raises BadInput for another plan's
    or another bundle's probes, for a damaged file, and where nothing can be written.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]):
        self.probes: dict[str, Probe] = {}
        self.unscorable: set[str] = set()
        self._path, self._about = path, dict(about)

    @contextlib.contextmanager
    def held(self) -> Iterator[ProbesFile]:
        try:
            file = self._path.open("a+b")
        except OSError as error:
            raise BadInput(f"cannot write '{self._path}': {error.strerror or error}.") from error
        with file:
            if not try_lock(file.fileno()):
                raise BadInput(f"'{self._path}' is being written by another probe; wait for it to end.")
            self._file = file
            self._read()
            yield self

    def add(self, probe: Probe) -> None:
        line = asdict(probe)
        line[EXPECTED_GAINS] = line.pop("expected_gains")
        self._write(line)
        self.probes[probe.example_id] = probe

    def pass_over(self, example_id: str) -> None:
        """Note an example that cannot be scored."""
        self._write({"example_id": example_id, "unscorable": True})
        self.unscorable.add(example_id)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def _read(self) -> None:
        jsonl.cut_torn_line(self._file)
        try:
            lines = [line for _, line in jsonl.objects(self._file)]
            if not lines:
                self._write({"about": self._about})
                return
            about = dict(lines[0]["about"])
            if about == self._about:
                self._take(lines[1:])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise BadInput(f"'{self._path}' is damaged ({problem}); delete it to probe again.") from error
        if about != self._about:
            other = ", ".join(name for name in self._about if about.get(name) != self._about[name])
            raise BadInput(
                f"'{self._path}' holds probes made otherwise (another {other}); delete it, or choose another --output."
            )

    def _take(self, lines: Sequence[Mapping[str, Any]]) -> None:
        for line in lines:
            if line.get("unscorable"):
                self.unscorable.add(str(line["example_id"]))
            else:
                probe = _probe(line)
                self.probes[probe.example_id] = probe


def _probe(line: Mapping[str, Any]) -> Probe:
    """Read a probe from its row. Raises KeyError, TypeError or ValueError for what is not a probe."""
    gains = {arm.value: (float(line["gains"][arm.value][0]), float(line["gains"][arm.value][1])) for arm in ARMS}
    if not all(math.isfinite(gain) for pair in gains.values() for gain in pair):
        raise ValueError("a gain is not a number")
    return Probe(
        example_id=str(line["example_id"]),
        task=str(line["task"]),
        topic=str(line["topic"]),
        evidence=dict(line["evidence"]),
        routes={str(rule): Route(route).value for rule, route in line["routes"].items()},
        expected_gains={Route(route).value: float(gain) for route, gain in line[EXPECTED_GAINS].items()},
        gains=gains,
        rollouts={arm.value: int(line["rollouts"][arm.value]) for arm in ARMS},
    )
