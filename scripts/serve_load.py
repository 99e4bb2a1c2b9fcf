"""Load `fastslow serve` with streams while the server behind is killed: is any stream lost or mixed, does memory grow?

    python scripts/serve_load.py results/serving.json --minutes 10 --streams 200

The server behind is a stub in a process of its own, killed with SIGKILL after a third and after two thirds of the time,
and started again two seconds later. Every stream asks for pieces with a name of its own, and counts as whole (all
pieces, in order, and [DONE]), as refused (an error in OpenAI's form, before or after some pieces in order), or else as
lost. A piece with another stream's name is mixed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from serve_check import listener_of, serving
from tests.support.shipped import make_bundle

ROOT = Path(__file__).parents[1]
EVENTS, DELAY = 20, 0.05
WARM_UP = 20.0
"""Seconds before the first look at the memory: buffers and connection pools grow to their size once."""


def stub(port: int) -> subprocess.Popen[bytes]:
    """Start the server behind."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen([sys.executable, "-m", "tests.support.stub_upstream", str(port)], env=env)


async def one_stream(client: httpx.AsyncClient, url: str, name: str) -> str:
    """Ask for one stream; return whole, refused, lost or mixed."""
    wish = json.dumps({"id": name, "events": EVENTS, "delay": DELAY})
    body = {"model": "ours", "messages": [{"role": "user", "content": wish}], "stream": True}
    pieces: list[str] = []
    done, error = False, False
    async with client.stream("POST", f"{url}/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            content = json.loads(await answer.aread())
            return "refused" if content["error"]["message"] and content["error"]["type"] == "server_error" else "lost"
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                error |= "error" in event and event["error"]["type"] == "server_error"
                pieces += [text for c in event.get("choices", []) if (text := c["delta"].get("content"))]
    expected = [f"{name}:{i} " for i in range(EVENTS)]
    if any(not piece.startswith(f"{name}:") for piece in pieces):
        return "mixed"
    if done and pieces == expected:
        return "whole"
    return "refused" if error and pieces == expected[: len(pieces)] else "lost"


async def load(url: str, port: int, proxy: int, *, seconds: float, streams: int) -> dict[str, Any]:
    """Keep that many streams going for that long; the server behind is killed twice."""
    counts: Counter[str] = Counter()
    began = time.monotonic()
    behind = [await asyncio.to_thread(stub, port)]
    memory: list[tuple[float, int]] = []
    waits: list[float] = []

    async def worker(client: httpx.AsyncClient, number: int) -> None:
        round_ = 0
        while time.monotonic() - began < seconds:
            round_ += 1
            asked = time.monotonic()
            try:
                outcome = await one_stream(client, url, f"s{number}r{round_}")
            except (httpx.HTTPError, ValueError, KeyError) as error:
                outcome = f"lost ({type(error).__name__})"
            counts[outcome] += 1
            waits.append(time.monotonic() - asked)
            if outcome == "refused":
                await asyncio.sleep(0.5)

    async def killer() -> None:
        for share in (1 / 3, 2 / 3):
            await asyncio.sleep(max(0.0, began + share * seconds - time.monotonic()))
            behind[0].send_signal(signal.SIGKILL)
            behind[0].wait()
            await asyncio.sleep(2)
            behind[0] = stub(port)

    async def watcher() -> None:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(1)
            memory.append((time.monotonic() - began, resident(proxy)))

    try:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=streams)
        async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
            while not await _is_up(client, port):
                await asyncio.sleep(0.1)
            await asyncio.gather(killer(), watcher(), *(worker(client, number) for number in range(streams)))
    finally:
        behind[0].kill()
    early = [size for at, size in memory if WARM_UP <= at < WARM_UP + 15]
    late = [size for _, size in memory[-15:]]
    first, last = sum(early) / len(early), sum(late) / len(late)
    return {
        "minutes": seconds / 60,
        "streams_at_once": streams,
        "kills": 2,
        "outcomes": dict(counts),
        "median_seconds_a_stream": round(sorted(waits)[len(waits) // 2], 2),
        "resident_mb": [round(first / 2**20, 1), round(last / 2**20, 1)],
        "growth": round(last / first - 1, 4),
    }


async def _is_up(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/v1/models")).status_code == 200
    except httpx.HTTPError:
        return False


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=200)
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder))
        with serving(bundle, "--upstream", f"http://127.0.0.1:{port}/v1") as url:
            proxy = listener_of(httpx.URL(url).port or 0)
            result = asyncio.run(load(url, port, proxy, seconds=60 * options.minutes, streams=options.streams))
    results = json.loads(options.output.read_text()) if options.output.exists() else {}
    options.output.write_text(json.dumps({**results, "load": result}, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    bad = {name: count for name, count in result["outcomes"].items() if name not in ("whole", "refused")}
    sys.exit(f"lost or mixed: {bad}" if bad or result["growth"] >= 0.05 else 0)


if __name__ == "__main__":
    main()
