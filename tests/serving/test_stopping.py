"""A server that is told to stop: every answer on its way ends, or ends with an error that its client reads."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastslow.serving import relay
from fastslow.serving import server as server_module
from fastslow.serving.server import Server, ServeSettings, listen, make_proxy
from tests.support.liar import lying
from tests.support.proxy import ask
from tests.support.stub_upstream import Stub

HANGS = json.dumps({"id": "a", "events": 5, "hang_at": 2})
FLOODS = json.dumps({"id": "a", "events": 100_000, "padding": 5000})


class Running:
    """A proxy in a thread that the test stops itself."""

    def __init__(self, folder: Path, upstream: str) -> None:
        settings = ServeSettings(upstream=upstream, port=0, name="ours")
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1/chat/completions"
        with contextlib.ExitStack() as stack:
            self.proxy = make_proxy(folder, settings, stack)
        self.server = Server(self.proxy)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def turn_to(self, upstream: str) -> None:
        """Ask another server from now on."""
        self.proxy._upstream.url = upstream

    def tell(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    @property
    def is_stuck(self) -> bool:
        """Whether a client does not read what it is sent."""
        connections: set[Any] = set(self.server.server_state.connections)
        return any(connection.flow.write_paused for connection in connections)

    @property
    def has_ended(self) -> bool:
        self._thread.join(5)
        return not self._thread.is_alive()


@pytest.fixture
def running(
    bundle: Path, behind: tuple[Stub, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Running]:
    """A proxy with short patience, which has ended by the end of the test without a traceback."""
    monkeypatch.setattr(server_module, "CLOSING_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "LAST_SECONDS", 0.2)
    proxy = Running(bundle, behind[1])
    yield proxy
    assert proxy.has_ended
    assert behind[0].open == 0, "the server behind is freed"
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out
    assert "Exception in ASGI" not in said.err + said.out


@contextlib.contextmanager
def streamed(proxy: Running, wish: str) -> Iterator[Iterator[bytes]]:
    """A stream, once its first bytes are there."""
    with httpx.stream("POST", proxy.url, json=ask(wish, stream=True), timeout=10) as answer:
        parts = answer.iter_raw()
        next(parts)
        yield parts


def is_told(event: bytes) -> bool:
    return json.loads(event.rpartition(b"data: ")[2])["error"]["code"] == "server_stopping"


def test_streams_end_with_an_error_and_answers_that_have_not_begun_are_refused(
    running: Running, behind: tuple[Stub, str]
) -> None:
    refused: list[httpx.Response] = []
    before = len(behind[0].asked)
    body = ask(json.dumps({"id": "a", "events": 1000, "delay": 1}))
    waiting = threading.Thread(target=lambda: refused.append(httpx.post(running.url, json=body, timeout=10)))
    waiting.start()
    until = time.monotonic() + 10
    while len(behind[0].asked) == before and time.monotonic() < until:  # a busy machine may take a second to send it
        time.sleep(0.01)
    with streamed(running, HANGS) as one, streamed(running, HANGS) as other:
        running.tell()
        assert is_told(b"".join(one))
        assert is_told(b"".join(other))
    waiting.join(5)
    assert refused[0].status_code == 503
    assert refused[0].json()["error"]["code"] == "server_stopping"


def test_a_stream_that_ends_soon_is_whole(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CLOSING_SECONDS", 10.0)  # a tenth of a second of stream, on a busy machine
    with streamed(running, json.dumps({"id": "a", "events": 5, "delay": 0.02})) as parts:
        running.tell()
        assert b"".join(parts).endswith(b"data: [DONE]\n\n")


def test_a_stream_that_had_its_last_word_gets_no_other(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "DRAIN_SECONDS", 60.0)
    with lying() as liar:
        liar.streams(b'data: {"choices": []}\n\ndata: [DONE]\n\n', holds=True)
        running.turn_to(liar.url)
        with streamed(running, "q") as parts:
            running.tell()
            assert b"error" not in b"".join(parts)


def test_told_twice_the_server_ends_answers_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CLOSING_SECONDS", 60.0)
    with streamed(running, HANGS) as parts:
        running.tell()
        running.tell()
        assert is_told(b"".join(parts))


def test_a_client_that_does_not_read_and_one_whose_body_drips_hold_up_nothing(
    running: Running,
) -> None:
    address = running.server.servers[0].sockets[0].getsockname()
    body = json.dumps(ask(FLOODS, stream=True)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(address) as dripping, socket.create_connection(address) as unread:
        dripping.sendall(head + b"content-length: 9\r\n\r\n{")
        unread.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        until = time.monotonic() + 10
        while not running.is_stuck and time.monotonic() < until:  # until the stream fills every buffer on its way
            time.sleep(0.01)
        assert running.is_stuck
        running.tell()
        assert running.has_ended
        assert b" 503 " in dripping.recv(65536)
