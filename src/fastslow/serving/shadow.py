"""Ask a second version the same as the first, for a share of the requests, and record whether the two agree.

The client never waits for the shadow, and never sees it. What is recorded holds no text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat
from fastslow.export.release import Release
from fastslow.export.template import ARGUMENT, NONE
from fastslow.serving.choose import Chooser
from fastslow.serving.errors import Refused
from fastslow.serving.meters import Log, Meters
from fastslow.serving.relay import Transcript
from fastslow.serving.requests import ChatRequest, sampling_of
from fastslow.serving.upstream import Upstream, object_of, whole

LENGTH = "max_completion_tokens"
"""The field's name today; `transformers serve` ignores it and reads the older one alone, `max_tokens`."""

MOST_WAITING = 8
"""Requests of the shadow at once: it is there to compare, and must not take the machine from those who wait."""


def outgoing(request: ChatRequest, release: Release, context: Context | None, upstream: Upstream) -> dict[str, Any]:
    """Return what a server is asked for a request under a context. Raises Refused for what a server of ours cannot
    sample by; any other one refuses that itself."""
    turns = request.turns
    messages = turns if context is None else render_chat(context, turns, system_role=release.system_role)
    content = {**request.fields, "messages": messages}
    if upstream.ours:
        content |= sampling_of(request.fields, release.answers)
        if content.get(LENGTH) is not None:
            content["max_tokens"] = content.pop(LENGTH)
    if upstream.model is not None:
        content["model"] = upstream.model
    # An exported folder's template would put the lead before these messages once more; other templates do not read it.
    arguments = {**request.arguments, ARGUMENT: NONE} if upstream.takes_arguments else request.arguments
    if arguments:
        content["chat_template_kwargs"] = arguments
    return content


class Shadow:
    """A second version.

    Args:
        release: what the shadow serves.
        chooser: chooses its contexts.
        upstream: the server of its weights.
        share: share of the requests that the shadow gets too, in (0, 1].
    """

    def __init__(self, release: Release, chooser: Chooser, upstream: Upstream, share: float, meters: Meters, log: Log):
        self._release, self._chooser, self.upstream, self._share = release, chooser, upstream, share
        self._meters, self._log = meters, log
        self._due = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def wants_next(self) -> bool:
        """Return whether the shadow gets the next request too: every k-th for a share of 1/k."""
        self._due += self._share
        if self._due < 1.0:
            return False
        self._due -= 1.0
        return True

    def compare(self, request: ChatRequest, text: str | None, about: Mapping[str, Any]) -> None:
        """Ask the shadow later, and compare its answer with `text`; `about` goes into the log."""
        if text is None or len(self._tasks) >= MOST_WAITING:
            self._meters.shadow.labels("dropped").inc()
            return
        task = asyncio.get_running_loop().create_task(self._compare(request, text, about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, request: ChatRequest, text: str, about: Mapping[str, Any]) -> None:
        row: dict[str, Any] = {**about, "shadow_version": self._release.version, "outcome": "failed"}
        try:
            # The client named a context of the first version; the second one has its own.
            choice = await self._chooser.choose(request.turns, NONE if request.context == NONE else None)
            row |= {"shadow_context": choice.context.id if choice.context else NONE, "characters": len(text)}
            other = await self._answer(request, choice.context)
            if other is not None:
                row |= {"outcome": "equal" if other == text else "different", "shadow_characters": len(other)}
        except Refused:
            pass
        self._meters.shadow.labels(row["outcome"]).inc()
        self._log.write("shadow", row)

    async def _answer(self, request: ChatRequest, context: Context | None) -> str | None:
        content = outgoing(request, self._release, context, self.upstream)
        content = {name: value for name, value in content.items() if name not in ("stream", "stream_options")}
        response = await self.upstream.ask(content, None)
        try:
            if response.status_code != 200:
                return None
            transcript = Transcript(wants_text=True)
            transcript.take(object_of(await whole(response, self.upstream.seconds)), "message")
            return transcript.text
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Give up what is on its way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._chooser.close()
        await self.upstream.close()
