"""The proxy of `fastslow serve` in a thread, before a server of the test's choice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastslow.serving.server import Server, ServeSettings, listen, make_proxy
from tests.support.stub_upstream import running


@contextlib.contextmanager
def proxied(folder: Path, upstream: str | None, **settings: Any) -> Iterator[str]:
    """Serve `folder`; yields the URL without /v1."""
    chosen = ServeSettings(upstream=upstream, port=0, name="ours", **settings)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(listen(chosen.host, 0)))
        server = Server(make_proxy(folder, chosen, stack))
        stack.enter_context(running(server, [listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def ask(text: str = "hi", **fields: Any) -> dict[str, Any]:
    """The body of a chat request with one question."""
    return {"model": "ours", "messages": [{"role": "user", "content": text}], **fields}
