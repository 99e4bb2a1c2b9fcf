"""GPUs by name, with what their data sheets say and what was measured, and how many of them a run has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest

REACHED = 0.81
"""Share of the data sheet's dense bf16 FLOP/s that a large matrix product reaches: 798 of 989 TFLOP/s on an H100
(8192 x 8192 x 8192). Taken for the other GPUs as well, of which no measurement was at hand."""


@dataclass(frozen=True)
class Gpu:
    """Hold one kind of GPU: memory in bytes, bandwidth in bytes a second, dense bf16 FLOP/s, both of the data sheet;
    the measured ones are None where nobody measured them for this table."""

    name: str
    memory: float
    bandwidth: float
    flops: float
    source: str
    measured_flops: float | None = None
    measured_bandwidth: float | None = None

    @property
    def matmul(self) -> float:
        """FLOP/s of large matrix products in bf16."""
        return self.measured_flops or REACHED * self.flops


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("A100", 80e9, 2.039e12, 312e12, "NVIDIA A100 80GB SXM data sheet"),
        Gpu("L40S", 48e9, 0.864e12, 362e12, "NVIDIA L40S data sheet"),
        Gpu("H100", 80e9, 3.35e12, 989e12, "NVIDIA H100 SXM5 data sheet", 798e12, 3.0e12),
        Gpu("H200", 141e9, 4.8e12, 989e12, "NVIDIA H200 SXM data sheet"),
        Gpu("B200", 180e9, 8.0e12, 2250e12, "NVIDIA HGX B200 data sheet"),
    )
}

MACHINES = re.compile(r"(?:(?P<nodes>[1-9]\d{0,3})x)?(?:(?P<each>[1-9]\d{0,3})x)?(?P<gpu>[A-Za-z]\w*)")


@dataclass(frozen=True)
class Machines:
    """Hold what is rented: `nodes` machines of `each` GPUs."""

    gpu: Gpu
    nodes: int
    each: int

    @property
    def count(self) -> int:
        return self.nodes * self.each

    def __str__(self) -> str:
        several = f"{self.nodes}x" if self.nodes > 1 else ""
        return f"{several}{self.each}x{self.gpu.name}"


def parse_machines(text: str) -> Machines:
    """Read `H100`, `8xH100` or `2x8xH100` (nodes, GPUs of each, kind). Raises BadInput."""
    found = MACHINES.fullmatch(text.strip())
    if found is None:
        raise BadInput(f"--gpus '{text}' cannot be read; write H100, 8xH100 or 2x8xH100 (nodes x GPUs x kind).")
    gpu = GPUS.get(found["gpu"].upper())
    if gpu is None:
        raise BadInput(f"--gpus: there is no data sheet of '{found['gpu']}'.{nearest(found['gpu'].upper(), GPUS)}")
    first, second = found["nodes"], found["each"]
    return Machines(gpu, *((int(first), int(second)) if second else (1, int(first or 1))))
