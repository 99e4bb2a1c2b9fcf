"""End what is on its way once the server is told to stop, so that each client is told so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import anyio

from fastslow.serving.errors import failed


class Stopping:
    """`with stopping.ends(): ...`: what runs in the block is cancelled by `stop`, and the block then raises Refused."""

    def __init__(self) -> None:
        self._running: set[anyio.CancelScope] = set()
        self._now = False

    @contextlib.contextmanager
    def ends(self) -> Iterator[None]:
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            if self._now:
                scope.cancel()
            try:
                yield
            finally:
                self._running.discard(scope)
        if scope.cancelled_caught:
            raise failed("the server is being stopped", status=503, code="server_stopping")

    def stop(self) -> None:
        """End every block, those that begin later too. To be called in the event loop's thread."""
        self._now = True
        for scope in list(self._running):
            scope.cancel()
