"""Runners: processes that attack the sandbox as root, if the tests run as root, and as an ordinary user."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastslow
from tests.support.present import present

ORDINARY = 12321
IDENTITIES = ["root", "ordinary user"] if os.getuid() == 0 else ["ordinary user"]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", params=IDENTITIES)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Put one question to a runner of this identity, and get its answer."""
    user = ORDINARY if request.param == "ordinary user" and os.getuid() == 0 else 0
    package = Path(fastslow.__file__).parent
    # A copy that everybody may read: the checkout may lie in a home.
    home = Path(tempfile.mkdtemp(prefix="fastslow-sandbox-"))
    for part in ("__init__.py", "core", "sandbox"):
        source, target = package / part, home / "fastslow" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for script in ("leftovers.py", "runner.py"):
        shutil.copy(Path(__file__).parent / script, home)
    compileall.compile_dir(home, quiet=1)  # who may not write here would compile anew for every run
    subprocess.run(["chmod", "-R", "a+rX", str(home)], check=True)
    # The environment may lie where an ordinary user cannot look; the interpreter it was made from is everybody's, and
    # the sandbox needs nothing but the standard library.
    interpreter = getattr(sys, "_base_executable", sys.executable)
    process = subprocess.Popen(
        [interpreter, "-B", str(home / "runner.py"), str(home), str(user)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "FASTSLOW_TEST_SECRET": "topsecret-4711"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    started = process.stdout.readline()
    expected = user or os.getuid()
    assert started, f"the runner did not start as {expected}"
    assert json.loads(started)["uid"] == expected

    def put(source: str, *, limits: dict | None = None, unprotected: bool = False, **more: Any) -> dict[str, Any]:
        question = {"source": source, "limits": limits or {}, "unprotected": unprotected, **more}
        present(process.stdin).write(json.dumps(question) + "\n")
        present(process.stdin).flush()
        line = present(process.stdout).readline()
        assert line, "the attack ended the process that ran it"
        return json.loads(line)

    yield put
    process.stdin.close()
    process.wait(10)
    shutil.rmtree(home)
