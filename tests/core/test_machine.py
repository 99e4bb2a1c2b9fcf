"""Memory errors are told from others, and the memory of this machine is counted."""

from __future__ import annotations

import errno

import pytest
import torch

from fastslow.core.errors import BadInput
from fastslow.core.machine import all_processes, busy, is_out_of_memory, memory_of, own_number, processes_here


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


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 30])
def test_a_number_of_processes_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match=f"WORLD_SIZE is '{text}', not a whole number from 1 on"):
        all_processes({"WORLD_SIZE": text})
    with pytest.raises(BadInput, match="LOCAL_WORLD_SIZE"):
        processes_here({"LOCAL_WORLD_SIZE": text})


def test_the_number_of_a_process_is_its_launchers() -> None:
    assert [own_number(environment) for environment in ({}, {"RANK": ""}, {"RANK": "3"})] == [0, 0, 3]
    with pytest.raises(BadInput, match="RANK is 'a', not a whole number from 0 on"):
        own_number({"RANK": "a"})


@pytest.mark.parametrize(("load", "said"), [(9.5, "load 9.5 on 2 cores"), (2.9, ""), (0.0, "")])
def test_a_machine_that_others_keep_busy_is_said_to_be(monkeypatch: pytest.MonkeyPatch, load: float, said: str) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert bool(busy()) == bool(said)
    assert said in busy()
