"""Start a supervisor, give it the request, and read its one report. This is the trusted side."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fastslow.core.errors import BadInput
from fastslow.sandbox.types import Json, Limits, Result, SandboxUnavailable

# Source and arguments together. Larger than any program worth scoring, small enough to be parsed at once.
REQUEST_BYTES = 4 * 2**20
# Namespaces and mounts take 50 ms; a machine that is busy with training may need a hundred times that.
START_S = 30.0
# The supervisor ends the worker itself; past this it is stuck, and is killed with everything below it.
GRACE_S = 10.0

# Isolated mode would ignore PYTHONHASHSEED too, so its parts are named one by one (no user site, no site, safe path).
# The hash seed is fixed because code that walks over a set must give the same answer twice. One arena, or the C library
# would set 64 MiB of address space aside for every thread. One thread of numpy's, or it would start one per processor.
FLAGS = ("-s", "-S", "-P", "-X", "utf8")
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# `inside` is made a package by hand: nothing of ours may lie on a path where the standard library is looked for.
PROGRAM: str = (
    "import sys, types; sys.modules['inside'] = types.ModuleType('inside'); "
    "sys.modules['inside'].__path__ = [sys.argv[1]]; from inside.supervisor import main; main()"
)

_KNOBS = (
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces"),
)


def run_python(
    source: str, call: str, arguments: Json = None, *, limits: Limits | None = None, packages: Sequence[str] = ()
) -> Result:
    """Run `source` in the sandbox, call its function `call`, and return what that function returned.

    An object as `arguments` becomes keyword arguments, an array positional ones, anything else one argument, and None
    no argument. Only the standard library can be imported, and the installed `packages`, named by their import names
    (each with its shared libraries, but without what it depends on). What the code prints is dropped.

    Raises `SandboxUnavailable` where this machine cannot isolate the code, and `BadInput` for an unusable `call` or
    package. Safe to call from several threads. Not covered: attacks on the kernel or on the processor.
    """
    limits = limits or Limits()
    if not call.isidentifier():
        raise BadInput(f"sandbox: call={call!r} is not the name of a function")
    request = {
        "source": source,
        "call": call,
        "arguments": arguments,
        "limits": {name: getattr(limits, name) for name in Limits.__slots__},
        "packages": [entry for name in packages for entry in _package(name)],
    }
    try:
        text = json.dumps(request, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as problem:
        return Result("refused", message=f"the request is not JSON: {problem}")
    if len(text) > REQUEST_BYTES:
        return Result("refused", message=f"source and arguments take {len(text)} bytes, more than {REQUEST_BYTES}")
    report = _supervise(text, limits)
    return Result(
        report["kind"], report.get("value"), report.get("message", ""), report.get("wall_s", 0), report.get("cpu_s", 0)
    )


def isolation() -> str:
    """Describe, in one line, what isolates executed code on this machine. Raises `SandboxUnavailable` if nothing sound
    does."""
    limits = Limits()
    request: dict[str, Any] = {"source": "def run(): return 1", "call": "run", "arguments": None, "packages": []}
    request["limits"] = {name: getattr(limits, name) for name in Limits.__slots__}
    report = _supervise(json.dumps(request).encode(), limits)
    if report.get("value") != 1:
        raise SandboxUnavailable(f"code cannot be run in isolation here: 'return 1' gave {report}")
    return report["layers"]


def _package(name: str) -> list[str]:
    """Return the files of an installed package, and the folder where its wheel keeps shared libraries."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None or not spec.has_location:
        raise BadInput(f"sandbox: package {name!r} is not installed; name it as it is imported")
    home = Path(spec.origin)
    if spec.submodule_search_locations:
        home = home.parent
    libraries = home.parent / f"{name}.libs"
    return [str(home), *([str(libraries)] if libraries.is_dir() else [])]


def _supervise(request: bytes, limits: Limits) -> dict[str, Any]:
    """Start a supervisor for one request and return its report. Raises `SandboxUnavailable`."""
    if sys.platform != "linux":
        raise SandboxUnavailable(
            f"code is only run in isolation on Linux, and this is {platform.system()}: run this task in a Linux "
            "container or virtual machine"
        )
    started = time.monotonic()
    # A file in memory and not a pipe, which would have to be fed while the report is read.
    with os.fdopen(os.memfd_create("request"), "w+b") as given:
        given.write(request)
        given.seek(0)
        command = [sys.executable, *FLAGS, "-c", PROGRAM, str(Path(__file__).parent / "inside"), str(os.getpid())]
        try:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as problem:
            _unavailable(f"{sys.executable or 'the interpreter'} does not start ({problem})")
    assert process.stdout is not None
    try:
        # Escapes and floats may come back somewhat longer than the worker wrote them.
        text = _read(process.stdout.fileno(), 8 * limits.output + 65536, started + START_S + limits.wall_s + GRACE_S)
    finally:
        # The worker hangs on its supervisor by the parent-death signal: it does not outlive this.
        process.kill()
        process.wait()
        process.stdout.close()
    return _report(text, process.returncode)


def _read(descriptor: int, most: int, deadline: float) -> bytes:
    text = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while len(text) <= most:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                _unavailable("the supervisor did not answer in time")
            if not (piece := os.read(descriptor, 65536)):
                break
            text += piece
    return bytes(text)


def _report(text: bytes, status: int) -> dict[str, Any]:
    try:
        report = json.loads(text)
        unavailable = report.get("unavailable")
    except (ValueError, AttributeError):
        # Only trusted code writes here, so this is a broken interpreter or the kernel's out-of-memory killer.
        said = text[-300:].decode(errors="replace").strip()
        ended = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit code {status}"
        _unavailable(f"the supervisor ended with {ended}{': ' + said if said else ''}")
    if unavailable is not None:
        _unavailable(unavailable)
    return report


def _unavailable(why: str) -> NoReturn:
    hints = []
    for path, value, meaning in _KNOBS:
        try:
            if Path(path).read_text().strip() == value:
                hints.append(meaning)
        except OSError:
            continue
    hint = f" ({'; '.join(hints)})" if hints else ""
    raise SandboxUnavailable(
        f"code cannot be run in isolation here, so it is not run: {why}{hint}. It takes user namespaces and seccomp; "
        "in a container, allow unshare and mount (docs/sandbox.md)"
    )
