"""Take the thoughts of a reasoning model off what it says."""

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
OPEN_AT_THE_END = re.compile(rf"(?:{OPENED.pattern})\s*\Z", re.IGNORECASE)


def without_thoughts(reply: str) -> str:
    """Return what follows the thoughts that a reply begins with; '' where they have no end, as in a reply that was cut.

    A tag further on is text of the reply: an instruction may speak of tags.
    """
    return answer_after(reply, opened=False) or ""


def end_of_thoughts(reply: str) -> int:
    """Return where thoughts end that nothing in the reply opens, as many chat templates open them in the prompt; 0 for
    no such end."""
    closed = CLOSED.search(reply)
    return closed.end() if closed and not OPENED.search(reply, 0, closed.start()) else 0


def answer_after(completion: str, *, opened: bool) -> str | None:
    """Return what follows the thoughts of a completion; None where they have no end, as in one that was cut.

    Args:
        completion: what a model said, with its special tokens.
        opened: whether the prompt ends within the thoughts, as where a chat template opens them.
    """
    text = completion
    while opened or OPENED.match(text.lstrip()):
        closed = CLOSED.search(text)
        if closed is None:
            return None
        text, opened = text[closed.end() :], False
    return text


def spoken(text: str) -> str:
    """Return what follows thoughts in a text of which the prompt is not known; '' where they have no end."""
    return without_thoughts(text[end_of_thoughts(text) :])


def speaks_of_thoughts(template: str) -> bool:
    """Return whether a chat template has the marks of thoughts."""
    return bool(OPENED.search(template) or CLOSED.search(template))
