"""Install a seccomp filter: the system calls of `syscalls.py` and no others, for this process and all its children."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from . import kernel, syscalls

# Position in the table, and the kernel's name for the architecture (linux/audit.h).
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# BPF, of which a filter needs four instructions: load a word, jump if equal, jump if any bit, return.
_LOAD, _IF_EQUAL, _IF_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_FILTER_MODE = 2

# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits, little-endian.
_NUMBER, _ARCHITECTURE = 0, 4
# x86_64 can also be called with the numbers of the x32 ABI, which have this bit.
_X32 = 0x40000000

_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
_PR_SET_NAME = 15
# FD flags, status flags, locks, and F_DUPFD with CLOEXEC. Not: leases, signals to others, pipe sizes.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
# TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)


def install() -> int:
    """Install the filter for good and return how many system calls it allows. Needs no_new_privs.

    Raises NotImplementedError on an architecture whose numbers are not in the table.
    """
    table, code = _program(os.uname().machine)
    instructions = (ctypes.c_char * len(code)).from_buffer_copy(code)
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    kernel.prctl(kernel.PR_SET_SECCOMP, _FILTER_MODE, ctypes.create_string_buffer(header, len(header)))
    return table


def _program(machine: str) -> tuple[int, bytes]:
    if machine not in _ARCHITECTURES:
        raise NotImplementedError(f"no seccomp filter for {machine}, only for {' and '.join(_ARCHITECTURES)}")
    column, audit = _ARCHITECTURES[machine]
    allowed = [numbers[column] for numbers in syscalls.ALLOWED.values()]
    special = [
        _when(syscalls.CLONE[column], _argument(0), (_IF_BITS, 0, 1, _CLONE_THREAD), _give(_ALLOW)),
        _when(syscalls.FCNTL[column], _argument(1), *_any_of(_FCNTL)),
        _when(syscalls.IOCTL[column], _argument(1), *_any_of(_IOCTL)),
        _when(syscalls.PRCTL[column], _argument(0), *_any_of([_PR_SET_NAME])),
        _when(syscalls.SOCKETPAIR[column], _argument(0), *_any_of([_AF_UNIX])),
        # Limits may be read: the pointer to new ones is null, in both halves.
        _when(syscalls.PRLIMIT64[column], _argument(2), (_IF_EQUAL, 0, 3, 0), _argument(2, 4), *_any_of([0])),
        [(_IF_EQUAL, 0, 1, syscalls.CLONE3), _give(_FAIL | errno.ENOSYS)],
    ]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, audit),
        _give(_KILL),
        (_LOAD, 0, 0, _NUMBER),
        *([(_IF_BITS, 0, 1, _X32), _give(_KILL)] if machine == "x86_64" else []),
        *_any_of(number for number in allowed if number is not None),
        *(instruction for block in special for instruction in block),
        _give(_FAIL | errno.EPERM),
    ]
    count = len(program)
    assert count < 4096, "the kernel takes no longer filter"
    return len(allowed) - allowed.count(None) + len(special) - 1, b"".join(struct.pack("=HBBI", *i) for i in program)


Instruction = tuple[int, int, int, int]


def _give(verdict: int) -> Instruction:
    return (_RETURN, 0, 0, verdict)


def _argument(index: int, half: int = 0) -> Instruction:
    """Load a half of an argument. What the kernel takes as an int is read from the low half, as the kernel does."""
    return (_LOAD, 0, 0, 16 + 8 * index + half)


def _any_of(values: Iterable[int]) -> list[Instruction]:
    return [part for value in values for part in ((_IF_EQUAL, 0, 1, value), _give(_ALLOW))]


def _when(number: int, *block: Instruction) -> list[Instruction]:
    """Return `block` for this system call, with a refusal at its end; other calls skip it."""
    body = [*block, _give(_FAIL | errno.EPERM)]
    return [(_IF_EQUAL, 0, len(body), number), *body]
