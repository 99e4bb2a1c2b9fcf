"""Memory errors are told from others, and the memory of this machine is counted."""

from __future__ import annotations

import errno

import pytest
import torch

from fastslow.core.machine import is_out_of_memory, memory_of, processes_here


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "no memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(errno.ENOSPC, "no space"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_free_memory_is_at_most_all_memory() -> None:
    memory = memory_of(torch.device("cpu"))
    assert memory is not None
    assert 0 <= memory[0] <= memory[1]


def test_an_unknown_device_has_no_known_memory() -> None:
    assert memory_of(torch.device("meta")) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, 1), ({"WORLD_SIZE": "4"}, 4), ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, 2)],
)
def test_the_processes_of_a_run_share_one_machine(environment: dict[str, str], expected: int) -> None:
    assert processes_here(environment) == expected
