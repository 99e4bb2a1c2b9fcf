"""Define what a caller gives to the sandbox and gets back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from fastslow.core.errors import BadInput, FastSlowError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Kind: TypeAlias = Literal["value", "error", "timeout", "memory", "output", "killed", "refused"]

MIB = 2**20


class SandboxUnavailable(FastSlowError):
    """Raised where this machine cannot isolate code, or the isolation broke. Nothing was run unprotected.

    The error concerns the machine and never the code: a scorer that meets it has no verdict, not reward 0.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound one run. Crossing a limit ends the run; the code cannot raise any of them."""

    # Seconds on the clock, from the moment the code starts.
    wall_s: float = 10.0
    # Seconds of processor time over all threads.
    cpu_s: float = 5.0
    # Bytes of address space of the process, about 50 MiB of which are the interpreter's.
    memory: int = 256 * MIB
    # Bytes of the returned value as JSON.
    output: int = MIB
    # Bytes of files in /tmp, the one place that can be written. They are gone afterwards.
    disk: int = 16 * MIB
    # Threads beside the main one. Processes are not a number: the code is one, and cannot start another.
    threads: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = {"memory": 96 * MIB, "output": 1, "disk": 65536, "threads": 0}.get(field.name, 0.01)
            if not (math.isfinite(value) and least <= value < 2**53):
                raise BadInput(f"sandbox limit {field.name}={value!r} must be a number of at least {least}")


@dataclass(frozen=True, slots=True)
class Result:
    """Describe how one run ended.

    - `value`: the function returned `value`.
    - `error`: it raised, did not exist, returned what is not JSON, or ended the process itself.
    - `timeout`, `memory`, `output`: it crossed that limit.
    - `killed`: a signal ended it, as when the C stack overflows.
    - `refused`: the request was turned away before anything ran: too large, or arguments that are not JSON.

    Every kind but `value` is the fault of the code or of the arguments; a fault of the machine raises
    `SandboxUnavailable`. `message` may quote the code, so it is as hostile as the code.
    """

    kind: Kind
    value: Json = None
    message: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.kind == "value"
