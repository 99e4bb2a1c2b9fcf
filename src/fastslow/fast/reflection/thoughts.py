"""Take the thoughts of a reasoning model off its reply."""

from __future__ import annotations

import re

OPENED = re.compile(
    r"<(?:think|thinking|thought|thoughts|reasoning|reason)>|\[THINK\]|◁think▷|<seed:think>|<\|START_THINKING\|>"
    r"|<\|channel\|>analysis<\|message\|>",
    re.IGNORECASE,
)
CLOSED = re.compile(
    r"</(?:think|thinking|thought|thoughts|reasoning|reason)>|\[/THINK\]|◁/think▷|</seed:think>|<\|END_THINKING\|>"
    r"|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)


def without_thoughts(reply: str) -> str:
    """Return what follows the thoughts that a reply begins with; '' where they have no end, as in a reply that was cut.

    A tag further on is text of the reply: an instruction may speak of tags.
    """
    if not OPENED.match(reply.lstrip()):
        return reply
    closed = CLOSED.search(reply)
    return reply[closed.end() :] if closed else ""


def end_of_thoughts(reply: str) -> int:
    """Return where thoughts end that nothing in the reply opens, as many chat templates open them in the prompt; 0 for
    no such end."""
    closed = CLOSED.search(reply)
    return closed.end() if closed and not OPENED.search(reply, 0, closed.start()) else 0
