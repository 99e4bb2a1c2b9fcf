"""The routes of the proxy, and who may call them."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fastslow.contexts.rendering import question_of
from fastslow.export.release import Release
from fastslow.export.template import NONE
from fastslow.serving.choose import Choice, Chooser
from fastslow.serving.errors import Refused, failed
from fastslow.serving.meters import Log, Meters
from fastslow.serving.relay import Outcome, Relay, Transcript
from fastslow.serving.requests import ChatRequest, read_request
from fastslow.serving.shadow import Shadow, outgoing
from fastslow.serving.stopping import Stopping
from fastslow.serving.upstream import Upstream, is_loopback

BODY_SECONDS = 30.0
"""How long a client may take to send a body."""

UP_SECONDS = 1.0
"""How long /health remembers whether the server behind is up: whoever asks it all day does not ask that server."""


HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<address>[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Limits:
    """What one client, or all together, may take.

    Attributes:
        body: bytes of a request.
        open: chat requests on their way at once.
    """

    body: int = 2**20
    open: int = 512


class Proxy:
    """Answer requests under the contexts of one release.

    Args:
        name: of the model, as clients name it.
        key: what clients must send as a bearer token; None: nobody is asked.
        local: whether only names of this machine may stand in the Host header: a web page that a browser on this
            machine shows could else ask the proxy under a name of its own.
    """

    def __init__(
        self,
        release: Release,
        chooser: Chooser,
        upstream: Upstream,
        *,
        name: str,
        meters: Meters,
        log: Log,
        shadow: Shadow | None = None,
        key: str | None = None,
        local: bool = True,
        limits: Limits = Limits(),
    ):
        self._release, self._chooser, self._upstream, self._shadow = release, chooser, upstream, shadow
        self._name, self._meters, self._log, self._limits = name, meters, log, limits
        self._has_key = key is not None
        self.stopping = Stopping()
        self._open, self._started = 0, int(time.time())
        self._up = (0.0, False)
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/models/{name}", self._model, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/metrics", self._exposition, methods=["GET"]),
            ],
            middleware=[Middleware(Door, key=key, local=local)],
            exception_handlers={Refused: _refused, HTTPException: _no_route, Exception: _broken},  # type: ignore[dict-item]
            lifespan=self._lifespan,
        )
        self.app.router.redirect_slashes = False  # a redirect would hold the Host header of whoever asked

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        if self._shadow is not None:
            await self._shadow.close()
        self._chooser.close()
        await self._upstream.close()

    async def _chat(self, request: Request) -> Any:
        began = time.perf_counter()
        if self._open >= self._limits.open:
            raise Refused("too many requests at once; try again", status=503, kind="server_error", code="overloaded")
        self._open += 1
        self._meters.open.set(self._open)
        try:
            return await self._prepared(request, began)
        except BaseException as error:
            self._close(began, error.status if isinstance(error, Refused) else 499, "")
            raise

    async def _prepared(self, request: Request, began: float) -> Relay:
        """Return the answer to be, once the context is chosen."""
        with self.stopping.ends():
            body = await read_body(request, self._limits.body)
            chat = read_request(body, models=self._names, arguments=self._release.template_arguments)
            choice = await self._chooser.choose(chat.turns, chat.context)
        content = outgoing(chat, self._release, choice.context, self._upstream)
        compares = self._shadow is not None and chat.choices == 1 and self._shadow.wants_next()
        transcript = Transcript(compares, choices=1 if self._upstream.ours else chat.choices)
        context = choice.context.id if choice.context is not None else NONE

        def done(outcome: Outcome) -> None:
            self._close(began, 499 if outcome.left else outcome.status, context)
            if outcome.failure is not None:
                self._meters.failures.labels(outcome.failure).inc()
            self._note(chat, choice, outcome, transcript, time.perf_counter() - began)
            if compares and self._shadow is not None and outcome == Outcome(200, False, None):
                about = {"version": self._release.version, "context": context}
                self._shadow.compare(chat, transcript.text, about)

        self._meters.own.observe(time.perf_counter() - began)
        return Relay(
            self._upstream,
            content,
            key=None if self._has_key else request.headers.get("authorization"),
            headers={
                "x-fastslow-version": header(self._release.version),
                "x-fastslow-context": header(context),
                "x-fastslow-topic": header(choice.topic),
            },
            name=self._name if self._upstream.ours else None,
            transcript=transcript,
            stopping=self.stopping,
            done=done,
        )

    def _close(self, began: float, status: int, context: str) -> None:
        self._open -= 1
        self._meters.open.set(self._open)
        self._meters.requests.labels(str(status), context).inc()
        self._meters.whole.observe(time.perf_counter() - began)
        if status == 499:
            self._meters.left.inc()

    def _note(
        self, chat: ChatRequest, choice: Choice, outcome: Outcome, transcript: Transcript, seconds: float
    ) -> None:
        """Write the log's line: lengths and choices, no text."""
        row = {
            "version": self._release.version,
            "context": choice.context.id if choice.context is not None else NONE,
            "topic": choice.topic,
            "distance": choice.distance,
            "status": outcome.status,
            "failure": outcome.failure,
            "left": outcome.left,
            "turns": len(chat.turns),
            "question_characters": len(question_of(chat.turns)),
            "stream": chat.streams,
            "seconds": round(seconds, 4),
            **transcript.tokens,
        }
        self._log.write("request", row)

    @property
    def _names(self) -> Collection[str]:
        return (self._name, self._release.version)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._about()]})

    async def _model(self, request: Request) -> Response:
        if request.path_params["name"] not in self._names:
            raise Refused("there is no such model here", status=404, code="model_not_found", field="model")
        return JSONResponse(self._about())

    def _about(self) -> dict[str, Any]:
        release = self._release
        return {
            "id": self._name,
            "object": "model",
            "created": self._started,
            "owned_by": "fastslow",
            "version": release.version,
            "base_model": release.base_model,
            "lead": release.population.lead.id,
            "contexts": sorted(release.population.known),
        }

    async def _health(self, request: Request) -> Response:
        looked, up = self._up
        if time.monotonic() - looked > UP_SECONDS:
            up = await self._upstream.is_up()
            self._up = (time.monotonic(), up)
        state = {"status": "ok" if up else "the server behind cannot be reached", "version": self._release.version}
        return JSONResponse(state, 200 if up else 503)

    async def _exposition(self, request: Request) -> Response:
        return Response(self._meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class Door:
    """Let in those with the key and the right Host header; `/health` is open to all who reach the port."""

    def __init__(self, app: ASGIApp, *, key: str | None, local: bool):
        self._app, self._local = app, local
        self._key = _digest(f"Bearer {key}") if key is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            try:
                self._check(scope["path"], headers)
            except Refused as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._local and not is_local(headers.get(b"host", b"")):
            raise Refused("the Host header must name this machine: 127.0.0.1 or localhost", status=421)
        if self._key is None or path == "/health":
            return
        given = headers.get(b"authorization", b"").decode("latin-1")
        if not hmac.compare_digest(_digest(given), self._key):  # digests: equal lengths, whatever was sent
            raise Refused(
                "this server needs its API key, as 'Authorization: Bearer KEY'",
                status=401, kind="authentication_error", code="invalid_api_key",
            )  # fmt: skip


async def read_body(request: Request, most: int) -> bytes:
    """Read a body of at most `most` bytes. Raises Refused for one that is longer, comes too slowly, or is not JSON by
    its header: a page in a browser can send anything else to any server without asking first."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("the content type must be application/json", status=415)
    too_long = Refused(f"a request may have at most {most} bytes", status=413, code="request_too_large")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_long
    body = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_long
    except TimeoutError:
        raise Refused("the request came too slowly", status=408, code="request_timeout") from None
    except ClientDisconnect:
        raise Refused("the client left", status=499) from None
    return bytes(body)


def header(value: str) -> str:
    """Return a value that is safe in a header: names of topics come from a file that anybody may have made."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", value)[:64]


def is_local(host: bytes) -> bool:
    """Return whether a Host header is a name or address of this machine, and at most a port, and nothing else."""
    parts = HOST.fullmatch(host.decode("latin-1"))
    return parts is not None and is_loopback(parts["name"] or parts["address"])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


async def _refused(request: Request, problem: Refused) -> Response:
    return problem.response()


async def _no_route(request: Request, problem: HTTPException) -> Response:
    code = "method_not_allowed" if problem.status_code == 405 else "not_found"
    response = Refused(f"{problem.detail}: see /v1/models", status=problem.status_code, code=code).response()
    response.headers.update(problem.headers or {})  # a 405 says what is allowed
    return response


async def _broken(request: Request, error: Exception) -> Response:
    return failed("the proxy failed; its log says why", status=500, code="internal_error").response()
