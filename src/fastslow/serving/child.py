"""Start `transformers serve` on an exported folder, and stop it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from fastslow.core.errors import BadInput, FastSlowError, quoted
from fastslow.core.extras import how_to_install
from fastslow.files.scratch import scratch

START_SECONDS = 600.0
"""How long a model may take to load."""

STOP_SECONDS = 10.0

CONFIG = "generation_config.json"

SECRET = re.compile(r"KEY|TOKEN(?!IZER)|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
"""Names of environment variables that the server does not get: it loads a folder and asks nobody."""

CODE = """\
import ctypes, os, signal, sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed proxy must leave no server behind
if os.getppid() != parent:
    sys.exit(1)
from transformers.cli.transformers import main
main()
"""


class Child:
    """`with Child(folder) as child: child.url`: a server of the folder on a free port of loopback.

    Each request has to name its temperature, and is sampled by it unless it is 0: see `Upstream.ours`.

    Args:
        folder: an exported folder with whole weights.
        device: of torch, or `auto`.

    Raises BadInput where a package is missing or the folder holds adapters, and FastSlowError where the server ends
    before it answers.
    """

    def __init__(self, folder: Path, *, device: str = "auto"):
        missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
        if missing:
            raise BadInput(
                f"transformers serve needs {' and '.join(missing)}: {how_to_install('serve')}, or name a server of "
                "your own with --upstream."
            )
        if (folder / "adapter_config.json").is_file():
            raise BadInput(
                f"'{folder}' holds adapters; export the bundle with --merge, or name a server of your own with "
                "--upstream."
            )
        self._folder, self._device = folder, device
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Child:
        self._scratch = contextlib.ExitStack()
        folder = self._scratch.enter_context(scratch("fastslow-serve-"))
        self._log = folder / "log.txt"
        hub = Path(os.environ.get("HF_HUB_CACHE", "")) if os.environ.get("HF_HUB_CACHE") else folder / "hub"
        model = that_samples(self._folder.resolve(), folder / "model")
        hub.mkdir(parents=True, exist_ok=True)  # without that folder, the list of models is an error of the server's
        env: dict[str, Any] = {
            **{name: value for name, value in os.environ.items() if not SECRET.search(name)},
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(hub),
            "TRANSFORMERS_OFFLINE": "1",
        }
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--device", self._device]
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", CODE, str(os.getpid()), "serve", str(model), *where],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True,
                )  # fmt: skip
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._scratch.close()

    @property
    def ended(self) -> bool:
        """Whether the server is gone."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return in one line how the server ended, and the last line that it wrote."""
        code = self._process.poll()
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return f"{how} (its last line: {self._last_line()})"

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return quoted(lines[-1], 300) if lines else "it said nothing"

    def _wait(self) -> None:
        """Return when the server answers."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.ended:
                raise FastSlowError(f"transformers serve ended at its start: {self._last_line()}")
            try:
                if httpx.get(f"http://127.0.0.1:{self._port}/health", timeout=2.0, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise FastSlowError(f"transformers serve did not answer within {START_SECONDS:.0f} s.")


def that_samples(folder: Path, made: Path) -> Path:
    """Make a folder of links to an exported folder's files, whose generation config has sampling on, and return it.

    A request can turn sampling off in `transformers serve` (temperature 0), and never on: with the config of a release
    whose answers are greedy, every temperature would be ignored.
    """
    made.mkdir()
    for file in folder.iterdir():
        if file.name != CONFIG:
            (made / file.name).symlink_to(file)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config |= {"do_sample": True, "top_k": 0}  # a greedy release's config names no top-k, which would then be 50
    (made / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
