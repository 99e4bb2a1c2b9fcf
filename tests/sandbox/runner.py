"""Lays out bait, then runs attacks against it in the sandbox, as root or as an ordinary user.

    python runner.py ROOT_OF_SOURCES USER_ID      one JSON request a line on stdin, one answer a line on stdout

A process of its own: whoever gave root up cannot get it back, and an attack that gets through may kill it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from leftovers import sandboxes_of  # type: ignore[import-not-found]  # beside this file, wherever that is copied

# From the environment the process started with, which is where /proc shows it to others.
SECRET = os.environ.get("FASTSLOW_TEST_SECRET", "")
PR_SET_DUMPABLE = 4


def become(user: int) -> None:
    """Turn into an ordinary user who may still read this interpreter, even if it lies in root's home."""
    from fastslow.sandbox.inside import kernel

    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    for folder in [*reversed(Path(sys.base_prefix).parents), *reversed(Path(sys.executable).parents)]:
        if not folder.stat().st_mode & 0o001:
            kept = [Path(sys.base_prefix), *(p for p in map(Path, sys.path) if p.is_relative_to(folder))]
            kept = [path for path in kept if not any(other != path and path.is_relative_to(other) for other in kept)]
            _open_up(folder, [path for path in kept if path.is_relative_to(folder)])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.prctl(PR_SET_DUMPABLE, 1)  # as if it had started as this user: its /proc is its own again


def _open_up(closed: Path, kept: list[Path]) -> None:
    """In this process's view, replace a closed folder by an open one that holds only `kept`, at their old paths."""
    from fastslow.sandbox.inside import kernel

    stage = tempfile.mkdtemp(dir=sys.argv[1])  # removed with it
    kernel.mount(str(closed), stage, None, kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("tmpfs", str(closed), "tmpfs", 0, "mode=0755")
    for path in kept:
        path.mkdir(parents=True, exist_ok=True)
        kernel.mount(stage + "/" + str(path.relative_to(closed)), str(path), None, kernel.MS_BIND | kernel.MS_REC)


class Bait:
    """Files, listeners, a process and an environment that attacks go for."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="bait-")
        self.name = os.path.basename(self.folder)
        self.secret = self.folder + "/secret"
        Path(self.secret).write_text(SECRET)
        self.victim = subprocess.Popen(["sleep", "600"])
        self.touched: list[str] = []
        self.listeners = [
            ("TCP", socket.create_server(("127.0.0.1", 0))),
            ("UDP", socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
            ("unix", socket.socket(socket.AF_UNIX)),
            ("abstract", socket.socket(socket.AF_UNIX)),
            ("datagrams", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)),
        ]
        addresses = [None, ("127.0.0.1", 0), self.folder + "/socket", "\0" + self.name, "\0" + self.name + "-datagrams"]
        for (name, listener), address in zip(self.listeners, addresses, strict=True):
            if address is not None:
                listener.bind(address)
            if name in ("unix", "abstract"):
                listener.listen()
            threading.Thread(target=self._listen, args=(name, listener), daemon=True).start()

    def _listen(self, name: str, listener: socket.socket) -> None:
        while True:
            if listener.type == socket.SOCK_STREAM:
                wire = listener.accept()[0]
                self.touched.append(name)
                wire.recv(100)
            else:
                listener.recv(100)
                self.touched.append(name)

    def description(self) -> dict[str, Any]:
        """What an attack is told; the secret itself is not part of it."""
        ports = {name.lower(): listener.getsockname()[1] for name, listener in self.listeners[:2]}
        own = {"parent": os.getpid(), "victim": self.victim.pid}
        return {"folder": self.folder, "name": self.name, "secret": self.secret, **ports, **own}

    def harm(self) -> list[str]:
        """What has been done to the bait, and which processes of a sandbox are still there."""
        found = [f"{name} was reached" for name in self.touched]
        found += [f"{path} is new" for path in os.listdir(self.folder) if path not in ("secret", "socket")]
        if Path(self.secret).read_text() != SECRET:
            found.append("the secret was changed")
        if self.victim.poll() is not None:
            found.append("the victim is dead")
        found += [f"process {process} outlived its sandbox" for process in sandboxes_of(os.getpid())]
        return found

    def renew(self) -> None:
        self.touched.clear()
        if os.path.exists(self.folder + "/pwned"):
            os.unlink(self.folder + "/pwned")


ORIGINAL = ""


def answer(request: dict[str, Any], bait: Bait) -> dict[str, Any]:
    from fastslow.sandbox import Limits, SandboxUnavailable, run, run_python

    run.PROGRAM = request.get("program") or ORIGINAL
    if request["unprotected"]:
        told = json.dumps(bait.description())
        program = request["source"] + f"\nimport json\nprint('GOT', bool(attack(json.loads({told!r}))))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
        bait.renew()
        return {"got": "GOT True" in done.stdout, "said": done.stderr[-500:]}
    try:
        result = run_python(
            request["source"], "attack", {"host": bait.description()}, limits=Limits(**request["limits"])
        )
    except SandboxUnavailable as problem:
        return {"kind": "unavailable", "message": str(problem), "value": None, "harm": bait.harm()}
    time.sleep(request.get("settle_s", 0.0))
    harm = bait.harm()
    bait.renew()
    return {"kind": result.kind, "message": result.message, "value": result.value, "harm": harm}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    if user := int(sys.argv[2]):
        become(user)
    from fastslow.sandbox import run

    global ORIGINAL
    ORIGINAL = run.PROGRAM
    bait = Bait()
    print(json.dumps({"uid": os.getuid()}), flush=True)
    try:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), bait)), flush=True)
    finally:
        bait.victim.kill()
        shutil.rmtree(bait.folder)


if __name__ == "__main__":
    main()
