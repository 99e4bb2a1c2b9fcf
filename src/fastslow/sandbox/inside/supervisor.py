"""Enter isolation, fork the worker there, watch it, and report. This is the trusted side inside the sandbox.

Everything that the worker says is hostile. It is read up to a limit and parsed here, in a process with as little to
lose, and passed on only as JSON that this process has written itself. The kernel, not the worker, says what ended the
worker.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from . import identity, kernel, root
from .worker import become_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Deep enough for any answer, and far from where a JSON parser runs out of stack.
MAX_DEPTH = 100
# What stands around the value: {"value": }
_WRAPPING = 64


def main() -> None:
    """Read a request from standard input, write one report to standard output. sys.argv[2] is the parent's pid."""
    try:
        with open(0, "rb", closefd=False) as given:
            request = json.loads(given.read())
        visible = _isolate(request["packages"], request["limits"]["disk"], parent=int(sys.argv[2]))
        report = _watch(request, visible)
    except Exception as problem:
        report = {"unavailable": f"{type(problem).__name__}: {problem}"}
    with open(1, "wb", closefd=False) as out:
        out.write(json.dumps(report, ensure_ascii=False, allow_nan=False).encode(errors="replace"))


def _isolate(packages: list[str], disk: int, parent: int) -> list[str]:
    """Enter isolation: afterwards the process has no privileges and sees only the files returned here, which it can
    import."""
    standard = root.standard_library()
    root.load_system_libraries(bool(packages))
    # The first to go if the machine runs out of memory: this process and, by inheritance, the worker.
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    os.umask(0o022)  # the parent's umask may hide folders of the new root
    identity.enter_namespaces()
    root.enter([*standard, *packages], disk)
    identity.become_nobody()
    # Changing ids clears the parent-death signal, so it comes after. A parent that is already gone sends none.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    sys.path[:] = dict.fromkeys([*standard, *(os.path.dirname(path) for path in packages)])
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]
    os.environ.clear()
    if not os.access(os.__file__, os.R_OK):
        raise PermissionError(f"the standard library ({os.path.dirname(os.__file__)}) may not be read by other users")
    return [path for path in (*standard, *packages, root.ZONES) if os.path.exists(path)]


def _watch(request: dict[str, Any], visible: list[str]) -> dict[str, Any]:
    limits = request["limits"]
    (alive, tell), (ready, setup), (result, say) = os.pipe(), os.pipe(), os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(tell)
        become_worker(request, visible, alive, setup, say)
    for descriptor in (alive, setup, say):
        os.close(descriptor)
    handle = os.pidfd_open(worker)
    os.write(tell, b"!")
    with open(ready, "rb") as stated:
        walls = json.loads(stated.read() or b'{"unavailable": "the worker ended before it was ready"}')
    if "ready" not in walls:
        return walls
    started = time.monotonic()
    data, crossed = _read(worker, handle, result, limits)
    wall_s = time.monotonic() - started
    os.kill(worker, signal.SIGKILL)
    # Returns when the last process of the worker's namespace is gone.
    _, status, usage = os.wait4(worker, 0)
    cpu_s = usage.ru_utime + usage.ru_stime
    report = crossed or _judge(data, os.waitstatus_to_exitcode(status))
    layers = ["user, mount, pid, network, ipc and uts namespaces", "no privileges", *walls["ready"], "limits"]
    return {**report, "wall_s": wall_s, "cpu_s": cpu_s, "layers": "; ".join(layers)}


def _read(worker: int, handle: int, result: int, limits: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
    """Read what the worker says until it ends; return a report where it has crossed a limit."""
    data, deadline = bytearray(), time.monotonic() + limits["wall_s"]
    processors = os.cpu_count() or 1
    poll = select.poll()
    poll.register(result, select.POLLIN)
    poll.register(handle, select.POLLIN)
    while True:
        wall_left, cpu_left = deadline - time.monotonic(), limits["cpu_s"] - time.clock_gettime(_cpu_clock(worker))
        if wall_left <= 0:
            return b"", {"kind": "timeout", "message": f"out of time: {limits['wall_s']} s"}
        if cpu_left <= 0:
            return b"", {"kind": "timeout", "message": f"out of processor time: {limits['cpu_s']} s"}
        # It cannot have used up its share earlier than by running on every processor.
        events = dict(poll.poll(1000 * min(wall_left, cpu_left / processors) + 1))
        # The pipe first: what a worker said before it ended still counts.
        if result in events:
            piece = os.read(result, 65536)
            data += piece
            if len(data) > limits["output"] + _WRAPPING:
                return b"", {
                    "kind": "output",
                    "message": f"the returned value takes more than {limits['output']} bytes",
                }
            if not piece:
                poll.unregister(result)
        elif handle in events:
            return bytes(data), None


def _cpu_clock(process: int) -> int:
    """Return the clock of the processor time of another process (clock_getcpuclockid, which Python does not offer)."""
    return (~process << 3) | 2


def _judge(data: bytes, exit_code: int) -> dict[str, Any]:
    """Return the report of a run within its limits. Only a worker that ended in order is believed."""
    if exit_code < 0:
        names = {known.value: known.name for known in signal.Signals}
        return {"kind": "killed", "message": f"ended by {names.get(-exit_code, f'signal {-exit_code}')}"}
    if exit_code > 0 or not data:
        return {"kind": "error", "message": f"the code ended the process itself, with exit code {exit_code}"}
    try:
        said = json.loads(data)
        if not isinstance(said, dict) or len(said) != 1:
            raise ValueError("not one JSON object with one key")
        ((key, content),) = said.items()
        if _depth(content) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        if key == "value":
            json.dumps(content, allow_nan=False, ensure_ascii=False).encode()  # NaN, and halves of characters
            return {"kind": "value", "value": content}
        if key in ("error", "memory") and isinstance(content, str):
            return {"kind": key, "message": content}
        raise ValueError(f"unknown key {key[:20]!r}")
    except (ValueError, RecursionError) as problem:
        return {"kind": "error", "message": f"what the code returned cannot be taken: {problem}"}


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        level = [
            inner
            for outer in level
            if isinstance(outer, (list, dict))
            for inner in (outer if isinstance(outer, list) else outer.values())
        ]
        depth += 1
    return depth
