"""A process of a run that has ended is noticed and named by the others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastslow.core import peers, processes
from fastslow.core.errors import FastSlowError
from tests.support.sharding import free_port, rank_environment

ROOT = Path(__file__).parents[2]

WAITING = """
import os, signal, sys, time
import torch.distributed as dist
from fastslow.core import peers, processes
from fastslow.core.errors import FastSlowError

peers.GRACE_S, peers.LOOK_S = 1.0, 0.1
dist.init_process_group("gloo")
try:
    with peers.watched("Go on."):
        if dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "collective":
            processes.wait()
        time.sleep(600)
except FastSlowError as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(3)
"""


@pytest.mark.processes
@pytest.mark.parametrize(("where", "code"), [("collective", 3), ("elsewhere", 1)])
def test_a_process_that_is_killed_ends_the_others_with_a_line_that_names_it(where: str, code: int) -> None:
    """Whether they wait for it in a collective, which fails, or somewhere that never returns."""
    port = free_port()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING, where], env={**env, **rank_environment(rank, 2, port)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    ranks[1].wait(timeout=60)
    _, said = ranks[0].communicate(timeout=30)
    assert ranks[0].returncode == code, said
    assert f"process 1 (pid {ranks[1].pid} on " in said
    assert "ended, and the rest of 2 cannot go on without it. Go on." in said


def test_an_error_of_the_code_itself_stays_what_it_is(monkeypatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "gather", lambda items: [*items, ("elsewhere", 1)])
    with pytest.raises(RuntimeError, match="shape mismatch"), peers.watched(""):
        raise RuntimeError("shape mismatch")
    with pytest.raises(FastSlowError, match="disk"), peers.watched(""):
        raise FastSlowError("disk")


def test_a_process_that_nobody_has_waited_for_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until = time.monotonic() + 20
    while peers._runs(child.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not peers._runs(child.pid)
    child.wait()
    assert peers._runs(os.getpid())
