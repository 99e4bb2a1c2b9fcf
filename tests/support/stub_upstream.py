"""A server in OpenAI's form that answers at once, streams, breaks off or hangs, as the question asks it to.

The question is JSON: `{"id": "a", "events": 20, "delay": 0.01, "break_at": null, "hang_at": null}`; anything else is
answered with "hi". Every piece of an answer is `ID:NUMBER `, so that a piece in the wrong stream shows. Runs in a
thread of a test, and as a process that can be killed: `python -m tests.support.stub_upstream PORT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


class Stub:
    """What the server was asked, and how many streams are open now and were given up."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.open = self.given_up = 0
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})

    async def _chat(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        del self.asked[:-1000], self.headers[:-1000]
        try:
            wish: dict[str, Any] = json.loads(asked["messages"][-1]["content"])
            wish["id"]
        except (ValueError, TypeError, KeyError):
            wish = {"id": "hi", "events": 0}
        if "answer" in wish:  # an answer of the test's choice, as it is
            headers = {"content-type": wish.get("type", "application/json"), **wish.get("headers", {})}
            return Response(wish["answer"], wish.get("status", 200), headers)
        if asked.get("stream"):
            return StreamingResponse(self._stream(wish), media_type="text/event-stream")
        text = "".join(f"{wish['id']}:{i} " for i in range(wish["events"])) or "hi"
        await asyncio.sleep(wish.get("delay", 0) * wish["events"])
        message = {"role": "assistant", "content": text}
        return JSONResponse(
            {
                "id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": "stub",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }
        )  # fmt: skip

    async def _stream(self, wish: dict[str, Any]) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            for i in range(wish["events"]):
                if wish.get("break_at") == i:
                    raise RuntimeError("broken on purpose")
                if wish.get("hang_at") == i:
                    await asyncio.sleep(3600)
                yield _event({"content": f"{wish['id']}:{i} " + "x" * wish.get("padding", 0)})
                await asyncio.sleep(wish.get("delay", 0))
            yield _event({}, "stop")
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.open -= 1


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "stub", "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


@contextlib.contextmanager
def stub_upstream() -> Iterator[tuple[Stub, str]]:
    """The stub in a thread, and its URL."""
    stub = Stub()
    config = uvicorn.Config(
        stub.app, port=0, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    with running(server):
        yield stub, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"


@contextlib.contextmanager
def running(server: uvicorn.Server, sockets: list[Any] | None = None) -> Iterator[None]:
    """A server of uvicorn in a thread, up until the end of the block."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.005)
        assert server.started, "the server did not start"
        yield
    finally:
        server.should_exit = True
        thread.join(15)


if __name__ == "__main__":
    uvicorn.run(Stub().app, port=int(sys.argv[1]), log_level="critical", lifespan="off", ws="none")
