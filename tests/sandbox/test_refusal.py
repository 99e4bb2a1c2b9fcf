"""Without isolation nothing runs: every missing wall is an exception, never a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastslow.core.errors import FastSlowError
from fastslow.sandbox import SandboxUnavailable, isolation, run, run_python

from .leftovers import sandboxes_of

pytestmark = pytest.mark.processes

SOURCE = "def main(): return 42"
MAIN = "from inside.supervisor import main; main()"


def sabotage(monkeypatch: pytest.MonkeyPatch, patch: str) -> None:
    """Let the supervisor start with something of its own replaced."""
    assert MAIN in run.PROGRAM
    prelude = "from inside import identity, kernel, landlock, root, seccomp, supervisor, worker; "
    failing = "exec('def fail(*a, **k): raise PermissionError(\"switched off\")'); "
    monkeypatch.setattr(run, "PROGRAM", run.PROGRAM.replace(MAIN, prelude + failing + patch + "; " + MAIN))


@pytest.mark.parametrize(
    "wall",
    [
        "kernel.unshare",
        "kernel.mount",
        "kernel.pivot_root",
        "kernel.prctl",
        "kernel.drop_bounding_set",
        "kernel.set_host_name",
        "identity.enter_namespaces",
        "identity.become_nobody",
        "root.enter",
        "worker.seccomp.install",
        "worker.landlock.restrict",
        "worker._limit",
        "worker._close_all_but",
    ],
)
def test_a_wall_that_cannot_be_put_up_is_a_refusal(monkeypatch, wall):
    sabotage(monkeypatch, f"{wall} = fail")
    with pytest.raises(SandboxUnavailable, match=r"so it is not run: .*switched off"):
        run_python(SOURCE, "main")
    with pytest.raises(SandboxUnavailable):
        isolation()


@pytest.mark.parametrize(
    ("wall", "complaint"),
    [
        ("identity.os.setresuid = kernel.drop_capabilities = lambda *_: None", "privileges could not be dropped"),
        ("root._read_only = lambda path: None", "should be read-only"),
        ("kernel.unmount = lambda path: None", "busy|holds"),
        ("worker.seccomp.install = lambda: kernel.prctl(kernel.PR_SET_SECCOMP, 9)", "prctl"),
        ("seccomp._ARCHITECTURES = {'riscv64': (0, 0)}", "no seccomp filter for"),
        ("supervisor.os.access = lambda *_: False", "may not be read by other users"),
        ("supervisor.os.getppid = lambda: 1", "exit code 1"),
        ("supervisor._judge = lambda *_: os.kill(os.getpid(), 9)", "signal 9"),
        ("worker._put_up_walls = lambda *_: os._exit(0)", "ended before it was ready"),
    ],
)
def test_a_wall_that_only_seems_to_stand_is_noticed(monkeypatch, wall, complaint):
    sabotage(monkeypatch, "import os; " + wall)
    with pytest.raises(SandboxUnavailable, match=complaint):
        run_python(SOURCE, "main")


def test_it_is_one_of_our_errors_and_says_how_to_mend_it(monkeypatch):
    sabotage(monkeypatch, "kernel.unshare = fail")
    with pytest.raises(FastSlowError, match="allow unshare and mount") as caught:
        run_python(SOURCE, "main")
    assert "\n" not in str(caught.value)


def test_a_machine_without_user_namespaces_is_named():
    # In a user namespace of its own, a process may forbid itself any further one.
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(run.__file__).parents[2])!r})
from fastslow.sandbox import SandboxUnavailable, run_python
from fastslow.sandbox.inside import kernel
user, group = os.getuid(), os.getgid()
kernel.unshare(kernel.CLONE_NEWUSER)
settings = {{"self/setgroups": "deny", "self/uid_map": f"0 {{user}} 1", "self/gid_map": f"0 {{group}} 1"}}
for name, text in {{**settings, "sys/user/max_user_namespaces": "0"}}.items():
    with open("/proc/" + name, "w") as file:
        file.write(text)
try:
    print("RAN", run_python("def main(): return 42", "main"))
except SandboxUnavailable as problem:
    print("REFUSED", problem)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("REFUSED"), done.stdout + done.stderr
    assert "unshare: No space left" in done.stdout
    assert "user.max_user_namespaces is 0" in done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="is about root")
def test_root_that_has_nobody_to_become_is_refused():
    program = f"""
import sys
sys.path.insert(0, {str(Path(run.__file__).parents[2])!r})
from fastslow.sandbox import SandboxUnavailable, run_python
from fastslow.sandbox.inside import kernel
kernel.unshare(kernel.CLONE_NEWUSER)
for name, text in {{"setgroups": "deny", "uid_map": "0 0 1", "gid_map": "0 0 1"}}.items():
    with open("/proc/self/" + name, "w") as file:
        file.write(text)
try:
    print("RAN", run_python("def main(): return 42", "main"))
except SandboxUnavailable as problem:
    print("REFUSED", problem)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("REFUSED"), done.stdout + done.stderr
    assert "root cannot be given up" in done.stdout


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_refused(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(SandboxUnavailable, match="only run in isolation on Linux"):
        run_python(SOURCE, "main")


def test_an_interpreter_that_does_not_start_is_a_refusal(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(SandboxUnavailable, match="does not start"):
        run_python(SOURCE, "main")


def test_a_supervisor_that_does_not_answer_is_ended(monkeypatch):
    monkeypatch.setattr(run, "START_S", -10.0)
    monkeypatch.setattr(run, "GRACE_S", 0.5)
    sabotage(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(SandboxUnavailable, match="did not answer in time"):
        run_python(SOURCE, "main")


def test_the_code_dies_with_the_process_that_ran_it():
    program = (
        f"import sys; sys.path.insert(0, {str(Path(run.__file__).parents[2])!r})\n"
        "from fastslow.sandbox import Limits, run_python\n"
        "run_python('def main():\\n    import time\\n    time.sleep(60)', 'main', limits=Limits(wall_s=60))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        assert _waits_until(lambda: len(sandboxes_of(parent.pid)) == 2), "supervisor and worker did not start"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert _waits_until(lambda: not sandboxes_of(parent.pid)), "the sandbox outlived its parent"
    finally:
        for process in sandboxes_of(parent.pid):
            os.kill(process, signal.SIGKILL)


def _waits_until(true) -> bool:
    for _ in range(200):
        if true():
            return True
        time.sleep(0.05)
    return False
