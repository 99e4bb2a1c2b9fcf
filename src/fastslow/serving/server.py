"""From settings to a server that runs: a socket, signals, and a last word to each client."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from fastslow.contexts.rendering import refuse_soft
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import CONTEXTS, Release, open_release
from fastslow.export.template import LEAD
from fastslow.files.scratch import scratch
from fastslow.serving.app import Limits, Proxy
from fastslow.serving.child import Child
from fastslow.serving.choose import Chooser
from fastslow.serving.meters import Log, Meters
from fastslow.serving.protocol import KEEP_SECONDS, MOST_HEAD, PatientProtocol
from fastslow.serving.shadow import Shadow
from fastslow.serving.upstream import Upstream, is_loopback
from fastslow.topics.topics import CHOOSING

CLOSING_SECONDS = 5.0
"""How long answers on their way may take once the server is told to stop. Then they end with an error: docker kills
after ten seconds."""

LAST_SECONDS = 2.0
"""How long a client may take after that to read its last bytes."""

TICKS = 10
"""After how many of uvicorn's ticks of 0.1 s it is looked at whether a server that was started still runs."""

STUCK_SECONDS = 20
"""When uvicorn cuts off what is still left: nothing, as far as we know."""


@dataclass(frozen=True)
class ServeSettings:
    """What is served, and how.

    Attributes:
        upstream: the server behind; None: `transformers serve` is started.
        choose: `lead`, `seed`, `cluster` or `nearest`.
        name: of the model, for clients.
        upstream_model: by which name the server behind knows it; None: the field is left out.
        upstream_key: key for the server behind.
        upstream_takes_arguments: whether the server behind knows `chat_template_kwargs`.
        key: what clients must send.
        log: file for a line a request; None: none.
        shadow: folder of a second version; None: none.
        shadow_choose: how its contexts are chosen; None: as `choose` says.
        shadow_upstream: its server; None: `transformers serve` is started for it too.
        shadow_key: key for that server; the one for the server behind goes to no other.
        shadow_share: share of the requests it gets.
        seconds: how long to wait for the server behind, see `Upstream`.
        device: of torch, for servers that are started.
        trusted: whether an embedder of the bundle's maker may run.
    """

    upstream: str | None = None
    choose: str = LEAD
    host: str = "127.0.0.1"
    port: int = 8000
    name: str = "fastslow"
    upstream_model: str | None = None
    upstream_key: str | None = None
    upstream_takes_arguments: bool = True
    key: str | None = None
    log: Path | None = None
    shadow: Path | None = None
    shadow_choose: str | None = None
    shadow_upstream: str | None = None
    shadow_key: str | None = None
    shadow_share: float = 0.1
    seconds: float = 600.0
    limits: Limits = field(default_factory=Limits)
    device: str = "auto"
    trusted: bool = False


def serve(folder: Path, settings: ServeSettings, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve a bundle or an exported folder until a signal says stop; `ready` is told the URL once requests are taken.

    Raises BadInput for what cannot be served and a port that is taken, before any model is loaded, and FastSlowError
    where a server that was started for it ends: a supervisor is to start both again.
    """
    with _terminable(), contextlib.closing(listen(settings.host, settings.port)) as listener:
        port = listener.getsockname()[1]
        with contextlib.ExitStack() as stack:
            children: list[Child] = []
            proxy = make_proxy(folder, settings, stack, children)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            server = Server(proxy, lambda: ready(f"http://{host}:{port}/v1"), children)
            server.run(sockets=[listener])
            if server.dead is not None:
                raise FastSlowError(f"transformers serve ended {server.dead.last_words()}; fastslow serve stops too.")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """End by SystemExit at SIGTERM while a model is exported or loaded: folders and servers are then cleaned up. Once
    the proxy runs, uvicorn takes the signals."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_proxy(
    folder: Path, settings: ServeSettings, stack: contextlib.ExitStack, children: list[Child] | None = None
) -> Proxy:
    """Return the proxy; servers that it needs are started, and stopped with the stack. The one without which there are
    no answers is added to `children`; that of a shadow is not."""
    release, chooser = _version(folder, settings.choose, settings.upstream, settings)
    meters, log = Meters(release.version), Log(settings.log)
    shadow_parts = _shadow_version(settings.shadow, settings) if settings.shadow is not None else None
    upstream = _upstream(folder, settings.upstream, settings.upstream_key, settings, stack, children)
    shadow = None
    if settings.shadow is not None and shadow_parts is not None:
        behind = _upstream(settings.shadow, settings.shadow_upstream, settings.shadow_key, settings, stack)
        shadow = Shadow(*shadow_parts, behind, settings.shadow_share, meters, log)
    return Proxy(
        release,
        chooser,
        upstream,
        name=settings.name,
        meters=meters,
        log=log,
        shadow=shadow,
        key=settings.key,
        local=is_loopback(settings.host),
        limits=settings.limits,
    )


def _version(folder: Path, choose: str, upstream: str | None, settings: ServeSettings) -> tuple[Release, Chooser]:
    release = open_release(folder, choosing=choose in CHOOSING, trusted=settings.trusted)
    if upstream is not None and not release.in_template:  # a server of somebody else's, which knows no rows
        refuse_soft(release.population.lead)
    return release, Chooser(release, choose)


def _shadow_version(folder: Path, settings: ServeSettings) -> tuple[Release, Chooser]:
    try:
        return _version(folder, settings.shadow_choose or settings.choose, settings.shadow_upstream, settings)
    except BadInput as error:
        raise BadInput(f"the shadow: {error}") from error


def _upstream(
    folder: Path,
    url: str | None,
    key: str | None,
    settings: ServeSettings,
    stack: contextlib.ExitStack,
    children: list[Child] | None = None,
) -> Upstream:
    """Return the server behind: the one at `url`, or one that is started on the folder."""
    if url is not None:
        return Upstream(
            url,
            model=settings.upstream_model,
            key=key,
            takes_arguments=settings.upstream_takes_arguments,
            seconds=settings.seconds,
        )
    if not (folder / CONTEXTS).is_file():
        exported = stack.enter_context(scratch("fastslow-export-")) / "model"
        export_bundle(folder, exported, ExportSettings(contexts="lead", merge=True))
        folder = exported
    child = stack.enter_context(Child(folder, device=settings.device))
    if children is not None:
        children.append(child)
    return Upstream(child.url, ours=True, seconds=settings.seconds)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises BadInput for a port that is taken, or a host that is not here."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"cannot listen on {host}, port {port}: {said}. Take another one with --host or --port."
        ) from None


def config_of(proxy: Proxy) -> uvicorn.Config:
    return uvicorn.Config(
        proxy.app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # a client's word on who it is
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEAD,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=STUCK_SECONDS,
    )


class Server(uvicorn.Server):
    """A server of uvicorn that ends by returning: the caller still has servers to stop.

    Told to stop, it gives answers on their way a while, then ends them with an error that their clients see; told so
    once more, at once. Uvicorn itself would cut them off, and print a traceback for each. It stops as well when one of
    `children` has ended: `dead` is that one.
    """

    def __init__(self, proxy: Proxy, ready: Callable[[], None] = lambda: None, children: Sequence[Child] = ()):
        super().__init__(config_of(proxy))
        self._children = children
        self.dead: Child | None = None
        self._stopping, self._ready = proxy.stopping, ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        stops = await super().on_tick(counter)
        if not stops and counter % TICKS == 0:
            self.dead = next((child for child in self._children if child.ended), None)
        return stops or self.dead is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        patience = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._end)
        try:
            await super().shutdown(sockets)
        finally:
            patience.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not kept for uvicorn to raise again: the process has servers to stop.
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._end)
        self.should_exit = True

    def _end(self) -> None:
        """End all answers, and soon the connections of clients that do not read what they are told."""
        self._stopping.stop()
        asyncio.get_running_loop().call_later(LAST_SECONDS, self._cut)

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
