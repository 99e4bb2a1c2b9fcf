"""Put up the last walls, then run the code. This is the untrusted side, process 1 of its own namespace."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
import types

from . import kernel, landlock, seccomp
from .root import NULL, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# How the code is named in tracebacks, and its module in `__name__` and sys.modules (dataclasses look there).
FILE, MODULE = "<code>", "sandboxed"

_MESSAGE_CHARS = 1000
# Descriptors that may be open at once, the three standard ones and the result's among them.
_FILES = 64
_STACK_BYTES = 8 * 2**20
_NONE_AT_ALL = (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_RTPRIO)
# The worker and its supervisor are counted together.
_OWN_TASKS = 2


def become_worker(request: dict[str, Any], visible: list[str], alive: int, setup: int, result: int) -> NoReturn:
    """Put up the walls, report them on `setup`, close `setup`, run the code, and report the result on `result`.

    A word on `alive` says that the supervisor was still there when the parent-death signal was set. If a wall cannot be
    put up, `setup` says so and the code is not run.
    """
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if not os.read(alive, 1):
            os._exit(1)
        # In its supervisor's process group, kill(0) would reach the supervisor across the pid namespace.
        os.setsid()
        _close_all_but(setup, result)
        walls = _put_up_walls(request["limits"], visible)
        os.write(setup, json.dumps({"ready": walls}).encode())
    except BaseException as problem:
        os.write(setup, json.dumps({"unavailable": str(problem)}).encode())
        os._exit(1)
    try:
        os.close(setup)
        said = _outcome(request["source"], request["call"], request["arguments"]).encode()
        while said:
            said = said[os.write(result, said) :]
        # No exit handlers, threads or finalizers: the time of the code is over.
        os._exit(0)
    finally:
        os._exit(1)  # the code closed the descriptor or broke json: this process must not continue as a supervisor


def _close_all_but(*kept: int) -> None:
    null = os.open(NULL, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    low, high = sorted(kept)
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, 4096)


def _put_up_walls(limits: dict[str, Any], visible: list[str]) -> list[str]:
    _limit(limits)
    abi = landlock.version()
    if abi:
        landlock.restrict(abi, [path for path in visible if path != NULL], WRITABLE, NULL)
    allowed = seccomp.install()
    return [
        f"seccomp ({allowed} system calls)",
        f"Landlock {abi}" if abi else "no Landlock in this kernel (mounts hold alone)",
    ]


def _limit(limits: dict[str, Any]) -> None:
    bounds = {
        resource.RLIMIT_AS: limits["memory"],
        # The supervisor measures the time exactly; this limit is for a supervisor that fails.
        resource.RLIMIT_CPU: math.ceil(limits["cpu_s"]) + 1,
        resource.RLIMIT_FSIZE: limits["disk"],
        resource.RLIMIT_NPROC: _OWN_TASKS + limits["threads"],
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_STACK: _STACK_BYTES,
        **dict.fromkeys(_NONE_AT_ALL, 0),
    }
    for which, most in bounds.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _outcome(source: str, call: str, arguments: Any) -> str:
    """Return one JSON object with one key: `value`, `error` or `memory`. The supervisor trusts none of it."""
    try:
        return json.dumps({"value": _run(source, call, arguments)}, allow_nan=False)
    except MemoryError:
        return '{"memory": "out of memory"}'
    except BaseException as problem:
        return json.dumps({"error": _describe(problem)})


def _run(source: str, call: str, arguments: Any) -> Any:
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(source, FILE, "exec"), module.__dict__)
    function = module.__dict__.get(call)
    if not callable(function):
        raise NameError(f"the code defines no function {call!r}")
    if arguments is None:
        return function()
    if isinstance(arguments, dict):
        return function(**arguments)
    return function(*arguments) if isinstance(arguments, list) else function(arguments)


def _describe(problem: BaseException) -> str:
    line, step = None, problem.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == FILE:
            line = step.tb_lineno
        step = step.tb_next
    try:
        text = str(problem)[:_MESSAGE_CHARS]
    except BaseException:
        text = "(an exception that cannot be printed)"
    return f"{type(problem).__name__}: {text}" + (f" (line {line})" if line is not None else "")
