"""Find the answer in a completion. Every function takes time linear in what it reads."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 20_000  # characters of a completion; reasoning-gym's scorers have the same limit (screen.py)
TAG = re.compile(r"</?answer>", re.IGNORECASE)
THOUGHT = r"(?:think|thinking|thought|reasoning|scratchpad)"
THINKS = re.compile(rf"<{THOUGHT}>|\[THINK\]", re.IGNORECASE)
THOUGHT_ENDS = re.compile(rf"</{THOUGHT}>|\[/THINK\]", re.IGNORECASE)
BOXED = re.compile(r"\\(?:f?boxed|fbox)\s{0,20}\{")
BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def tail(completion: str) -> str:
    """Return the end of the completion, where answers stand: at most MAX_CHARS characters, without a part for thinking.

    Drafts stand there, so that what follows the last `</think>` counts, and nothing after a `<think>` without an end.
    """
    text = completion[-MAX_CHARS:]
    for end in THOUGHT_ENDS.finditer(text):
        text = completion[-MAX_CHARS:][end.end() :]
    draft = THINKS.search(text)
    return text if draft is None else text[: draft.start()]


def tagged(text: str) -> str | None:
    """Return the content of the last `<answer>...</answer>`; a later answer without its end does not count."""
    opened, content = None, None
    for tag in TAG.finditer(text):
        if tag.group()[1] != "/":
            opened = tag.end()
        elif opened is not None:
            content, opened = text[opened : tag.start()], None
    return None if content is None else content.strip()


def boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` whose braces close. Braces behind a backslash do not count."""
    starts = {match.end() - 1 for match in BOXED.finditer(text)}
    if not starts:
        return None
    opened: list[int] = []
    last: tuple[int, int] | None = None
    for brace in BRACES.finditer(text, min(starts)):
        if brace.group() == "{":
            opened.append(brace.start())
        elif brace.group() == "}" and opened:
            start = opened.pop()
            if start in starts and (last is None or start > last[0]):
                last = (start, brace.start())
    return None if last is None else text[last[0] + 1 : last[1]].strip()


def marked(text: str) -> str | None:
    """Return the last tagged answer, else the last boxed one."""
    content = tagged(text)
    return boxed(text) if content is None else content


def is_blank(text: str) -> bool:
    """Return whether a reader would see nothing: spaces, control and formatting characters only."""
    return all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in text)
