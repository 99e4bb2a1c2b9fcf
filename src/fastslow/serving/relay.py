"""One answer on its way through: event by event to the client, ended when either side leaves or the server stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
from starlette.types import Receive, Scope, Send

from fastslow.serving.errors import Refused, failed
from fastslow.serving.events import Events, data_of
from fastslow.serving.stopping import Stopping
from fastslow.serving.upstream import Upstream, has_the_form, headers_back, in_the_form, object_of, refusal, whole

CLOSE_SECONDS = 2.0

DRAIN_SECONDS = 1.0
"""How long a server may take to end a stream after its last word: only what was read to its end is used again."""

LONGEST_KEPT = 2**20
"""Characters of an answer that are kept for the shadow."""

MOST_TOKENS = 2**53
"""What JSON's numbers hold exactly. What a server counts beyond that is no count."""

EVENTS, JSON = b"text/event-stream; charset=utf-8", b"application/json"
DONE = b"[DONE]"
"""The data of a stream's last event in OpenAI's protocol."""


@dataclass
class Transcript:
    """Collect what an answer says while it passes: its text, if anybody needs it, and its tokens.

    `text` is None once it is of no use: not asked for, too long, or not in the first choice's content alone. `choices`
    is how many the request asked for. Nothing that a server sends is taken to have its right type.
    """

    wants_text: bool
    choices: int = 1
    text: str | None = ""
    tokens: dict[str, int] = field(default_factory=dict)
    done: bool = False
    _ended: set[int] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        """Whether a stream has said its end: `[DONE]`, or why each of its choices ended."""
        return self.done or len(self._ended) >= self.choices

    def take(self, data: Mapping[str, Any], part: str) -> None:
        """Take an answer, whose text is in `message`, or an event of one, whose text is in `delta`."""
        usage = data.get("usage")
        for name in ("prompt_tokens", "completion_tokens"):
            count = usage.get(name) if isinstance(usage, dict) else None
            if type(count) is int and 0 <= count <= MOST_TOKENS:
                self.tokens[name] = count
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._choice(choice, part)

    def _choice(self, choice: Mapping[str, Any], part: str) -> None:
        index, said = choice.get("index", 0), choice.get(part)
        if choice.get("finish_reason") is not None and type(index) is int and 0 <= index < self.choices:
            self._ended.add(index)
        text = said.get("content") if isinstance(said, dict) else None
        if self.text is not None and isinstance(text, str) and self.wants_text:
            self.text = None if index or len(self.text) > LONGEST_KEPT else self.text + text


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
        name: by which clients know the model; None: the server's own name for it is passed on.
        transcript: collects what passes.
        stopping: ends the answer.
        done: called once with the outcome, however the request ends.
    """

    def __init__(
        self,
        upstream: Upstream,
        content: Mapping[str, Any],
        *,
        key: str | None,
        headers: Mapping[str, str],
        name: str | None,
        transcript: Transcript,
        stopping: Stopping,
        done: Callable[[Outcome], None],
    ):
        self._upstream, self._content, self._key, self._name = upstream, content, key, name
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._transcript, self._stopping, self._done = transcript, stopping, done
        self._status = 502
        self._failure: str | None = None
        self._started = self._complete = self._left = False

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
            with self._stopping.ends():
                response = await self._upstream.ask(self._content, self._key)
                try:
                    last = await self._receive(response, send)
                finally:
                    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                        await response.aclose()
        except Refused as problem:
            last = json.dumps(problem.body()).encode()
            if not self._started:
                self._status = problem.status
            elif self._is_over:
                last = b""  # the client has its answer
            else:
                last = b"data: " + last + b"\n\n"  # the status is gone already
            self._failure = self._failure or (problem.code if last else None)
        if not self._started:
            await self._start(send, [(b"content-type", JSON), (b"content-length", str(len(last)).encode())])
        self._complete = True
        await send({"type": "http.response.body", "body": last})

    async def _receive(self, response: httpx.Response, send: Send) -> bytes:
        """Return the answer, or b"" for a stream, which is then passed on but for its end.

        Raises Refused for what is no answer to a chat request: the client then gets that instead, or at last.
        """
        status, self._headers = response.status_code, [*headers_back(response), *self._headers]
        plain = response.headers.get("content-encoding", "identity").strip().lower() in ("", "identity")
        if 400 <= status <= 599:
            content = await whole(response, self._upstream.seconds) if plain else b""
            problem = refusal(status, content)
            if problem is not None:
                raise problem
            self._status = status
            return content
        if status != 200:
            raise failed(f"the server behind answers with status {status}")
        if not plain:
            raise failed("the server behind compresses its answer, which it was asked not to do")
        self._status = status
        streams = response.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
        if streams != (self._content.get("stream") is True):
            raise failed(f"the server behind answers {'as a stream' if streams else 'in one piece'}, unasked")
        if not streams:
            return self._named(await whole(response, self._upstream.seconds), "message")
        await self._start(send, [(b"content-type", EVENTS), (b"cache-control", b"no-store")])
        await self._stream(response, send)
        return b""

    async def _stream(self, response: httpx.Response, send: Send) -> None:
        """Pass a stream on as its events come. Raises Refused where it breaks off, or is none of a chat.

        A whole stream always ends with `[DONE]`, by which clients tell it from one that broke off: `transformers serve`
        never sends it.
        """
        events = Events()
        try:
            with anyio.CancelScope() as scope:
                async for chunk in response.aiter_raw():
                    if not self._is_over:
                        await self._pass_on(events, chunk, send)
                        if self._is_over:
                            scope.deadline = anyio.current_time() + DRAIN_SECONDS
        except httpx.TimeoutException:
            if not self._is_over:
                raise failed("the server behind stopped answering", status=504, code="upstream_timeout") from None
        except httpx.HTTPError:
            if not self._is_over:
                raise failed("the answer of the server behind broke off") from None
        if events.rest and not self._is_over:
            await self._pass_on(events, b"\n\n", send)  # the last line end may be missing; half an event is no JSON
        if self._is_over:
            return
        if not self._transcript.finished:
            raise failed("the answer of the server behind broke off")
        self._transcript.done = True
        await send({"type": "http.response.body", "body": b"data: " + DONE + b"\n\n", "more_body": True})

    @property
    def _is_over(self) -> bool:
        """Whether a stream has had its last word: what a server sends after it, or does not, is of no interest."""
        return self._transcript.done or self._failure is not None

    async def _pass_on(self, events: Events, chunk: bytes, send: Send) -> None:
        passed = bytearray()
        try:
            for event in events.feed(chunk):
                passed += self._event(event)
                if self._is_over:
                    break
        finally:  # what came before an event that is refused
            if passed:
                await send({"type": "http.response.body", "body": bytes(passed), "more_body": True})

    def _event(self, event: bytes) -> bytes:
        """Return an event as it is passed on. Raises Refused for an error, and for what is no event of a chat."""
        data = data_of(event)
        if not data:
            return event  # a comment, which keeps the connection open
        if data == DONE:
            self._transcript.done = True
            return event
        named = self._named(data, "delta")
        return event if named is data else b"data: " + named + b"\n\n"

    def _named(self, content: bytes, part: str) -> bytes:
        """Take note of an answer or an event's data, and return it with the model's name as clients know it.

        Raises Refused for an error that comes as an answer, and for what is no JSON object.
        """
        data = object_of(content)
        if data.get("error"):
            if part == "message" or not has_the_form(data["error"]):
                raise in_the_form(502, data)
            self._failure = "upstream_error"
            return content
        self._transcript.take(data, part)
        if self._name is None or "model" not in data:
            return content
        return json.dumps({**data, "model": self._name}, separators=(",", ":")).encode()

    async def _start(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": [*headers, *self._headers]})
        self._started = True
