"""The filter gives the verdicts it should, on both architectures: checked by an interpreter of the few instructions."""

from __future__ import annotations

import errno
import struct

import pytest

from fastslow.sandbox.inside import seccomp, syscalls

ALLOW, KILL = 0x7FFF0000, 0x80000000
DENY, MISSING = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = list(AUDIT)


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    _, code = seccomp._program(machine)
    program = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, audit or AUDIT[machine], 0, *(value % 2**64 for value in padded))
    at, loaded = 0, 0
    while True:
        operation, if_true, if_false, operand = program[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            loaded = struct.unpack_from("<I", data, operand)[0]
        else:
            true = loaded == operand if operation == 0x15 else bool(loaded & operand)
            at += if_true if true else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_the_listed_calls_are_allowed(machine):
    column = MACHINES.index(machine)
    listed = {numbers[column] for numbers in syscalls.ALLOWED.values()} - {None}
    assert len(listed) == sum(numbers[column] is not None for numbers in syscalls.ALLOWED.values()), "a number twice"
    with_null_arguments = {syscalls.FCNTL[column], syscalls.PRLIMIT64[column]}  # F_DUPFD, and reading a limit
    allowed = {number for number in range(1000) if verdict(machine, number) == ALLOW}
    assert allowed == listed | with_null_arguments
    assert verdict(machine, syscalls.CLONE3) == MISSING


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        (syscalls.CLONE, (0x3D0F00,), ALLOW),  # what the C library starts a thread with
        (syscalls.CLONE, (0x01200011,), DENY),  # and a process
        (syscalls.CLONE, (0x10000011,), DENY),
        (syscalls.FCNTL, (3, 1030), ALLOW),
        (syscalls.FCNTL, (3, 8), DENY),
        (syscalls.FCNTL, (3, 1031), DENY),
        (syscalls.IOCTL, (0, 0x5401), ALLOW),
        (syscalls.IOCTL, (0, 0x5412), DENY),  # TIOCSTI: typing on the user's terminal
        (syscalls.PRCTL, (15,), ALLOW),
        (syscalls.PRCTL, (1,), DENY),
        (syscalls.PRLIMIT64, (0, 7, 0), ALLOW),
        (syscalls.PRLIMIT64, (0, 7, 0x1000), DENY),
        (syscalls.PRLIMIT64, (0, 7, 1 << 32), DENY),
        (syscalls.SOCKETPAIR, (1, 1), ALLOW),
        (syscalls.SOCKETPAIR, (2, 1), DENY),
    ],
)
def test_the_arguments_decide(machine, call, arguments, expected):
    assert verdict(machine, call[MACHINES.index(machine)], *arguments) == expected


def test_other_ways_to_name_a_call_end_the_process():
    assert verdict("x86_64", 0x40000000) == KILL
    assert verdict("x86_64", 1, audit=0x40000003) == KILL  # i386
    assert verdict("aarch64", 63, audit=AUDIT["x86_64"]) == KILL


def test_an_unknown_machine_is_not_guessed_at():
    with pytest.raises(NotImplementedError, match="riscv64"):
        seccomp._program("riscv64")
