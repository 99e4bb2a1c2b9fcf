"""Real processes that start at once: the libraries are loaded here, and every run is a fork that may be killed.

Reads one order a line, {"cwd": where, "argv": words of a command, or "call": [module, function, arguments, keywords],
"point": [name, count, after] or null, "kill_after": seconds or null, "delay": [name, seconds] or null, "twins": how
many at once, "ranks": how many processes make one run, "kind": how they share its weights or null, "rank": which of
them is killed, "shim": false for accelerate as it is}, and answers with how the processes ended. It never trains
itself: torch's threads would not survive a fork.
"""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]


_shared: list[subprocess.Popen[str]] = []


def _start(**environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A hash seed of its own, whatever this process was given: test_determinism.py compares runs of the two.
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random", **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery"], env=env, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)


class Nursery:
    """`with Nursery(folder) as nursery: nursery.run(["train", ...], point=("commit", 2, False))`.

    The blow at a point is SIGKILL, or the `signals` of the order. Keywords go into the environment, which takes a
    server of its own; all others share one, whose libraries are loaded once.
    """

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self._environment = environment

    def __enter__(self) -> Nursery:
        if self._environment:
            self._process = _start(**self._environment)
            return self
        if not _shared:
            _shared.append(_start())
            atexit.register(_end, _shared[0])
        self._process = _shared[0]
        return self

    def __exit__(self, *error: object) -> None:
        if self._environment:
            _end(self._process)

    @property
    def pid(self) -> int:
        """The process whose children are the runs."""
        return self._process.pid

    def run(self, argv: list[str], point: tuple[str, int, bool] | None = None, **order: Any) -> int:
        """Exit code of `fastslow argv`; -9 where it was killed."""
        return self._ordered({"argv": argv, "point": point, **order})[0]

    def launch(self, argv: list[str], *, kind: str | None, ranks: int = 2, rank: int = 0, **order: Any) -> list[int]:
        """Exit codes of the processes of one run, sharded by `kind`, or with whole copies. The blow falls on `rank`;
        the others get SIGKILL as a launcher would give it, where they do not end by themselves."""
        return self._ordered({"point": None, **order, "argv": argv, "kind": kind, "ranks": ranks, "rank": rank})

    def call(self, module: str, function: str, *arguments: Any, ranks: int = 2, **keywords: Any) -> list[int]:
        """Exit codes of the processes of one group, each of which calls a function."""
        return self._ordered({"point": None, "call": [module, function, arguments, keywords], "ranks": ranks})

    def race(self, argv: list[str]) -> list[int]:
        """Exit codes of two processes that do the same at once."""
        return self._ordered({"argv": argv, "point": None, "twins": 2})

    def log(self) -> str:
        """What the processes in this folder have said so far."""
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def _ordered(self, order: dict[str, Any]) -> list[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"cwd": str(self.folder), **order}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def forked_cell(command: Sequence[str]) -> Iterator[SimpleNamespace]:
    """Stand in for what starts a cell of an experiment, which takes some ten seconds: the same command, forked."""
    with Nursery(Path.cwd()) as nursery, tempfile.NamedTemporaryFile() as log:
        code = nursery.run(list(command[command.index("fastslow") + 1 :]), log=log.name)
        said = Path(log.name).read_text(encoding="utf-8", errors="replace")
        yield SimpleNamespace(stdout=said.splitlines(keepends=True), returncode=code)


GRACE_S = 60.0
"""Seconds that a process has to end by itself after another one of its run has ended."""


def _child(order: dict[str, Any], number: int, port: int) -> None:
    os.chdir(order["cwd"])
    sys.path.insert(0, order["cwd"])
    log = os.open(order.get("log", "log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if order.get("ranks", 1) > 1:
        from tests.support.sharding import rank_environment, shard_on_cpu, start_over

        os.environ.update(rank_environment(number, order["ranks"], port))
        if order.get("kind"):
            if order.get("shim", True):
                shard_on_cpu()
            start_over(order["kind"])
    if order["point"] and number == order.get("rank", number):
        from tests.support.points import arm

        def strike() -> None:
            for number in order.get("signals", [signal.SIGKILL]):
                os.kill(os.getpid(), number)

        name, count, after = order["point"]
        arm(name, count, strike, after=after)
    if order.get("delay"):
        from tests.support.points import delay

        delay(*order["delay"])
    code = 70  # a traceback
    try:
        code = _done(order)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _done(order: dict[str, Any]) -> int:
    if "call" not in order:
        from fastslow.cli.main import main

        return main(order["argv"])
    module, function, arguments, keywords = order["call"]
    getattr(import_module(module), function)(*arguments, **keywords)
    return 0


LOADED = (
    "transformers.models.llama.modeling_llama", "fastslow.cli.train", "fastslow.run.train", "fastslow.fast.gepa",
    "fastslow.registry.registry", "fastslow.fast.reflection.endpoint", "tests.support.runs",
)  # fmt: skip


def read_metadata_once() -> None:
    """Have what is known of installed packages read once: accelerate asks for peft's on every unwrapping of a model,
    which is up to a tenth of a tiny step."""
    importlib.metadata.metadata = cache(importlib.metadata.metadata)


def _serve() -> None:
    read_metadata_once()
    for module in LOADED:
        import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a child then neither walks the libraries nor copies their pages

    for line in sys.stdin:
        order = json.loads(line)
        processes = []
        port = _free_port()
        for number in range(order.get("ranks", order.get("twins", 1))):
            processes.append(os.fork())
            if processes[-1] == 0:
                _child(order, number, port)
        if order.get("kill_after") is not None:
            time.sleep(order["kill_after"])
            os.kill(processes[order.get("rank", 0)], signal.SIGKILL)
        together = order.get("ranks", 1) > 1
        print(_ended(processes) if together else [_code(os.waitpid(p, 0)[1]) for p in processes], flush=True)


_code = os.waitstatus_to_exitcode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ended(processes: list[int]) -> list[int]:
    """How the processes of one run end, the last of them by SIGKILL some time after the first has failed."""
    codes: dict[int, int] = {}
    failed: float | None = None
    while len(codes) < len(processes):
        for process in processes:
            if process not in codes and (ended := os.waitpid(process, os.WNOHANG))[0]:
                codes[process] = _code(ended[1])
        if failed is None and any(codes.values()):
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > GRACE_S:
            for process in set(processes) - set(codes):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    return [codes[process] for process in processes]


if __name__ == "__main__":
    _serve()
