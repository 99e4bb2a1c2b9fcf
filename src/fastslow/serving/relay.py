"""One answer on its way through: chunk by chunk to the client, ended when either side leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
from starlette.types import Receive, Scope, Send

from fastslow.serving.errors import Refused, failed
from fastslow.serving.upstream import Upstream, headers_back, refusal, whole

CLOSE_SECONDS = 2.0
MARKS = (b'"usage"', b'"finish_reason"', b'"error"', b"[DONE]")
"""What stands in the events of a stream that say more than text."""

LONGEST_KEPT = 2**20
"""Characters of an answer that are kept for the shadow."""


@dataclass
class Transcript:
    """Collect what an answer says while it passes: its text, if anybody needs it, and its tokens.

    `text` is None once it is of no use: not asked for, too long, or not in the first choice's content alone.
    """

    wants_text: bool
    text: str | None = ""
    tokens: dict[str, int] = field(default_factory=dict)
    finished: bool = False
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of a stream of server-sent events."""
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > LONGEST_KEPT:
            self._rest, self.text = b"", None
        for line in lines:
            if line.startswith(b"data:") and (self.wants_text or any(mark in line for mark in MARKS)):
                self._take(line.removeprefix(b"data:").strip(), "delta")

    def whole(self, content: bytes) -> None:
        """Take an answer that came in one piece."""
        self._take(content, "message")

    def _take(self, content: bytes, part: str) -> None:
        if content == b"[DONE]":
            self.finished = True
            return
        try:
            data = json.loads(content)
            self.finished |= "error" in data  # the server's own last word
            usage = data.get("usage") or {}
            self.tokens |= {name: int(usage[name]) for name in ("prompt_tokens", "completion_tokens") if name in usage}
            for choice in data.get("choices") or []:
                self.finished |= choice.get("finish_reason") is not None
                text = (choice.get(part) or {}).get("content")
                if self.text is not None and isinstance(text, str) and self.wants_text:
                    self.text = None if choice.get("index", 0) or len(self.text) > LONGEST_KEPT else self.text + text
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            self.text = None


@dataclass(frozen=True)
class Outcome:
    """How a request ended: the status of its answer, whether the client left, and the failure's code, if any."""

    status: int
    left: bool
    failure: str | None


class Relay:
    """An ASGI response that asks the server behind and passes its answer on.

    Args:
        upstream: the server behind.
        content: what it is asked.
        key: the client's key, to be passed on.
        headers: headers of our own for the client.
        transcript: collects what passes.
        done: called once with the outcome, however the request ends.
    """

    def __init__(
        self,
        upstream: Upstream,
        content: Mapping[str, Any],
        *,
        key: str | None,
        headers: Mapping[str, str],
        transcript: Transcript,
        done: Callable[[Outcome], None],
    ):
        self._upstream, self._content, self._key = upstream, content, key
        self._headers, self._transcript, self._done = headers, transcript, done
        self._status, self._failure, self._started = 502, None, False
        self._complete = self._left = False
        self._mid_event = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    self._left = not self._complete  # after the last byte, a disconnect is the end of the answer
                    tasks.cancel_scope.cancel()  # which closes the connection to the server behind

                tasks.start_soon(watch)
                await self._answer(send)
                tasks.cancel_scope.cancel()
        finally:
            self._done(Outcome(self._status, self._left, self._failure))

    async def _answer(self, send: Send) -> None:
        try:
            response = await self._upstream.ask(self._content, self._key)
        except Refused as problem:
            await self._refuse(send, problem)
            return
        try:
            await self._pass_on(response, send)
        except Refused as problem:
            await self._refuse(send, problem)
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await response.aclose()

    async def _pass_on(self, response: httpx.Response, send: Send) -> None:
        self._status = response.status_code
        headers = headers_back(response)
        if response.status_code < 400 and headers.get("content-type", "").startswith("text/event-stream"):
            await self._start(send, {**headers, "cache-control": "no-store"})
            await self._stream(response, send)
            return
        content = await whole(response)
        if response.status_code >= 400:
            problem = refusal(response.status_code, content)
            if problem is not None:
                raise problem
        else:
            self._transcript.whole(content)
        await self._start(send, {**headers, "content-length": str(len(content))})
        await self._end(send, content)

    async def _stream(self, response: httpx.Response, send: Send) -> None:
        """Pass a stream on as it comes. Where it breaks off, an error in OpenAI's form is its last event."""
        try:
            async for chunk in response.aiter_raw():
                self._transcript.feed(chunk)
                self._mid_event = (self._mid_event + chunk)[-2:]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.TimeoutException:
            raise failed("the server behind stopped answering", status=504, code="upstream_timeout") from None
        except httpx.HTTPError:
            raise failed("the answer of the server behind broke off") from None
        if not self._transcript.finished:
            raise failed("the answer of the server behind broke off")
        await self._end(send, b"")

    async def _start(self, send: Send, headers: Mapping[str, str]) -> None:
        raw = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in {**headers, **self._headers}.items()
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": raw})
        self._started = True

    async def _refuse(self, send: Send, problem: Refused) -> None:
        self._failure = problem.code
        body = json.dumps(problem.body()).encode()
        if self._started:  # the status is gone already
            gap = b"" if self._mid_event in (b"", b"\n\n") else b"\n\n"
            await self._end(send, gap + b"data: " + body + b"\n\n")
            return
        self._status = problem.status
        await self._start(send, {"content-type": "application/json", "content-length": str(len(body))})
        await self._end(send, body)

    async def _end(self, send: Send, body: bytes) -> None:
        self._complete = True
        await send({"type": "http.response.body", "body": body})
