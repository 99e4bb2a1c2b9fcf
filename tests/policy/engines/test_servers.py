"""What a server answers is never more than one line of our own: whatever its body, its length and its pace."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fastslow.core.errors import EngineError
from fastslow.policy.engines import servers
from fastslow.policy.engines.servers import LONGEST_BODY, VllmServer


@contextmanager
def answering(
    body: bytes, *, status: int = 200, headers: dict[str, str] | None = None, pause: float = 0.0
) -> Iterator[str]:
    """A server that gives every request the same answer, one byte at a time where there is a pause; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
            self.send_response(status)
            for name, value in said.items():
                self.send_header(name, value.replace("KEY", self.headers["Authorization"]))
            self.end_headers()
            content = body.replace(b"KEY", self.headers["Authorization"].encode())
            try:
                for at in range(0, len(content), 1 if pause else len(content)):
                    self.wfile.write(content[at : at + 1] if pause else content)
                    time.sleep(pause)
            except OSError:
                self.close_connection = True  # the client has had enough

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def refusal(url: str) -> str:
    async def ask() -> None:
        server = VllmServer(url, 259)
        try:
            await server.card()
        finally:
            await server.close()

    with pytest.raises(EngineError) as refused:
        asyncio.run(ask())
    text = str(refused.value)
    assert url in text
    assert text.isprintable()
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe{}", b"[" * 200_000, b"{", b"9" * 5001, b"", b"<html>"],
    ids=["no UTF-8", "deep", "cut", "a long number", "empty", "a page"],
)
def test_a_body_that_is_no_json_is_one_line(body: bytes) -> None:
    with answering(body) as url:
        assert "answered /version with what is not JSON" in refusal(url)


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "x" * 5000, "", 7, None, {"a": 1}])
def test_a_version_that_is_no_name_is_no_server(name: Any) -> None:
    with answering(json.dumps({"version": name}).encode()) as url:
        assert "is no vLLM server" in refusal(url)


def test_words_of_a_server_are_cut_and_shown_without_control_characters() -> None:
    with answering(b"\x1b[2Jno\x00 " + b"x" * 10**6, status=500, headers={"Content-Type": "text/plain"}) as url:
        assert "HTTP 500: \N{REPLACEMENT CHARACTER}[2Jno" in refusal(url)


def test_the_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-secret")
    body = b'{"error": "bad key KEY"}'
    length = str(len(body) - 3 + len("Bearer sk-secret"))
    for status in (401, 200):
        with answering(body, status=status, headers={"Content-Length": length}) as url:
            text = refusal(url)
        assert "bad key Bearer ***" in text
        assert "sk-secret" not in text


def test_a_body_that_nobody_needs_is_not_read() -> None:
    with answering(gzip.compress(b" " * 10**6), headers={"Content-Encoding": "gzip"}) as url:
        assert "a compressed body" in refusal(url)
    with answering(b"", headers={"Content-Length": str(LONGEST_BODY + 1)}) as url:
        assert "more than any answer needs" in refusal(url)


def test_a_server_that_answers_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PATIENCE_TO_CONNECT", 0.2)
    monkeypatch.setattr(VllmServer._ask, "__kwdefaults__", {"seconds": 0.3, "retries": 0})
    with answering(b" " * 1000, pause=0.1) as url:
        began = time.monotonic()
        assert "gave no answer to /version in time" in refusal(url)
        assert time.monotonic() - began < 30
