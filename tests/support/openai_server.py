"""An OpenAI-compatible chat endpoint on loopback that misbehaves on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

CHAT_PATH = "/v1/chat/completions"

NO_WAIT = {"retry-after-ms": "1"}
"""Headers that let a client retry at once, so that a test need not sit through its back-off."""


@dataclass(frozen=True)
class Reply:
    """How the server answers one request. `delay` is in seconds; `body` replaces the whole JSON answer."""

    text: str | None = ""
    status: int = 200
    finish_reason: str = "stop"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: bool = False
    body: str | None = None
    content_type: str = "application/json"
    usage: tuple[int, int] | None = (7, 3)


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    json: Any

    @property
    def prompt(self) -> str:
        return self.json["messages"][-1]["content"]


class OpenAIServer:
    """`with OpenAIServer([Reply("hi"), Reply(status=500)]) as server: ... server.base_url, server.requests`.

    `script` is either the replies in order (a text stands for a plain Reply; the last one is repeated) or a function
    from the request to its reply.
    """

    def __init__(self, script: Iterable[Reply | str] | Callable[[Request], Reply | str]):
        self._answer = script if callable(script) else _in_order(list(script))
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def base_url(self) -> str:
        return f"http://{self.host}/v1"

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _reply_to(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            reply = self._answer(request)
        return Reply(reply) if isinstance(reply, str) else reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server._reply_to(Request(self.path, headers, json.loads(raw)))
                if self.path != CHAT_PATH:
                    reply = Reply(status=404, body='{"error": {"message": "no such path"}}')
                server._closing.wait(reply.delay)
                if reply.reset:
                    _reset(self.connection)
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):  # a client that gave up waiting, which is what a delay is for
                    _send(self, reply)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output clean."""

        return Handler


def _in_order(replies: list[Reply | str]) -> Callable[[Request], Reply | str]:
    def answer(request: Request) -> Reply | str:
        return replies.pop(0) if len(replies) > 1 else replies[0]

    return answer


def _reset(connection: socket.socket) -> None:
    """Close so that the peer sees 'connection reset' and not an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    body = (_body(reply) if reply.body is None else reply.body).encode()
    handler.send_response(reply.status)
    for name, value in {"content-type": reply.content_type, "content-length": str(len(body)), **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _body(reply: Reply) -> str:
    if reply.status >= 400:
        return json.dumps({"error": {"message": reply.text or "scripted failure"}})
    message = {"role": "assistant", "content": reply.text}
    answer: dict[str, Any] = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
    }
    if reply.usage is not None:
        prompt, completion = reply.usage
        answer["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return json.dumps(answer)
