"""Uvicorn's HTTP/1.1 with limits: on clients that are slow, too many, or do not speak HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fastslow.serving.errors import Refused

HEAD_SECONDS = 15.0
"""How long a client may take to send the head of a request."""

READ_SECONDS = 60.0
"""How long a client may take to read what fills its side of the connection."""

KEEP_SECONDS = 75
"""How long a connection stays open between two requests: longer than clients keep theirs in a pool (httpx: 5 s), or a
request meets a connection that is just being closed."""

MOST_HEAD = 16_384
"""Bytes of a request's head."""

MOST_CONNECTIONS = 2_048

REST_SECONDS = 2.0
"""How long a client may go on to send what nobody reads: the body of a request that is answered already. A connection
that is closed while bytes come in may lose the answer."""


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, with limits on how long a client may take to send the head of a request, and to read what it
    is sent: uvicorn itself waits for ever."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.app = self._enter
        super().connection_made(transport)
        self._wait_for_head()

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request over the limit in OpenAI's form; uvicorn's own limit answers in plain text."""
        if len(self.connections) > MOST_CONNECTIONS:
            busy = Refused("too many connections", status=503, kind="server_error", code="overloaded")
            await busy.response()(scope, receive, send)
        else:
            app: Any = self.config.loaded_app  # types of the same protocol, named by two libraries
            await app(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in OpenAI's form; where an answer is on its way already, cut it off."""
        if self.cycle is not None and not self.cycle.response_complete:  # of this connection, nobody answers any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state is not h11.IDLE and self.conn.our_state is not h11.SEND_RESPONSE:
            self.transport.abort()
            return
        body = json.dumps(Refused(msg, code="invalid_http").body()).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._rest = self.loop.call_later(REST_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._rest is not None and self.conn.their_state is not h11.SEND_BODY:
            self._stop_rest()
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head is None and self.conn.trailing_data[0] and not self.transport.is_closing():
            # the beginning of a further request, and not the end of a body that came after its answer
            self._wait_for_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        self._stop_rest()
        super().connection_lost(exc)

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _stop_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
