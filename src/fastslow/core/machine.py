"""What this machine has: memory, how one recognises that it has run out, and whether bf16 arithmetic is fast."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Mapping
from pathlib import Path

import torch

from fastslow.core.errors import BadInput, quoted

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")

# What allocators below Python raise as plain RuntimeErrors: torch's on Linux, on other systems, and the C++ library's.
MESSAGES = ("DefaultCPUAllocator", "not enough memory: you tried to allocate", "std::bad_alloc", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in any of the ways that Python, torch and the system have to say so."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def busy() -> str:
    """Say where other programs keep this machine busy, so that times are not taken for its own; empty elsewhere."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"this machine is busy (load {load:.1f} on {cores} cores): all will take longer" if load > cores + 1 else ""


def memory_of(device: torch.device) -> tuple[int, int] | None:
    """(free now, there at all) in bytes for one process, where that can be known: of an NVIDIA GPU its own memory, of a
    CPU what the system, its control group and RLIMIT_AS leave; swap counts as there, not as free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    if device.type != "cpu" or not MEMINFO.exists():
        return None
    lines = (line.split() for line in MEMINFO.read_text().splitlines())
    known = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    free, total = known["MemAvailable"], known["MemTotal"] + known.get("SwapTotal", 0)
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None:
        free, total = min(free, limit - (used or 0)), min(total, limit)
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        free, total = min(free, address_space), min(total, address_space)
    return max(0, free), total


def bf16_is_fast() -> bool:
    """Whether bf16 arithmetic outruns fp32 here: on accelerators, and on CPUs with AMX.

    AVX-512 CPUs without AMX have bf16 instructions too, and their training steps are slower with them
    (docs/decisions/0003-compute-type.md).
    """
    return torch.accelerator.is_available() or bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes of this run share the machine's memory. Raises BadInput as `own_number` does."""
    return _told(environment, "LOCAL_WORLD_SIZE", usual=_told(environment, "WORLD_SIZE", usual=1, least=1), least=1)


def all_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes train together, on all machines. Raises BadInput as `own_number` does."""
    return _told(environment, "WORLD_SIZE", usual=1, least=1)


def own_number(environment: Mapping[str, str] = os.environ) -> int:
    """Return which of the processes that train together this one is, from 0 on, by what its launcher says:
    torch.distributed may not have begun yet. Raises BadInput for a variable that holds no number."""
    return _told(environment, "RANK", usual=0, least=0)


def _told(environment: Mapping[str, str], name: str, *, usual: int, least: int) -> int:
    """Return a number that a launcher has set. Raises BadInput for what is none."""
    text = environment.get(name, "").strip()
    if not text:
        return usual
    if not text.isdecimal() or len(text) > 9 or int(text) < least:
        raise BadInput(
            f"the environment variable {name} is '{quoted(text)}', not a whole number from {least} on; unset it."
        )
    return int(text)


def _number(path: Path) -> int | None:
    """The number in a file of the control group; None where there is none ("max")."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
