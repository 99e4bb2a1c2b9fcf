"""Real vLLM servers on CPUs, from the environment that `make test-vllm` makes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
UP_WITHIN = 1200.0
"""Seconds for a server to start: some 40 s of one core, minutes on a busy machine."""


class RealServer:
    """A vLLM server on a folder, in a process of its own: `with RealServer(folder) as server: ... server.url`."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None, window: int = 1024):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder.with_name(f"{folder.name}-{self.port}.log")
        self._command = [
            str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--host", "127.0.0.1",
            "--port", str(self.port), "--served-model-name", "policy", "--dtype", "float32",
            "--max-model-len", str(window), "--max-num-seqs", "64", "--enforce-eager",
            "--no-enable-chunked-prefill",  # vLLM's CPU build dies where the prompt of a request with a seed is cut
            "--logprobs-mode", "processed_logprobs", "--enable-prompt-tokens-details", *arguments,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RealServer:
        self.start()
        self.wait()
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process; `wait` returns once it answers."""
        env = {
            **os.environ, "VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }  # fmt: skip
        env.pop("PYTHONPATH", None)  # the trainer's packages are not the server's
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self) -> None:
        """Return when the server answers. Raises RuntimeError with the end of its log where it does not."""
        started = time.monotonic()
        while time.monotonic() - started < UP_WITHIN:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"vLLM did not start: {self.log.read_text(errors='replace')[-3000:]}")

    def kill(self) -> None:
        """End the server and all its processes at once, as a lost machine does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
