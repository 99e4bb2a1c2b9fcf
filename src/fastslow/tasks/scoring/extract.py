"""Find the answer in a completion. Every function takes time linear in what it reads."""

from __future__ import annotations

import re
import unicodedata

from fastslow.tasks.scoring.markup import without_special_tokens

MAX_CHARS = 20_000  # characters of a completion; reasoning-gym's scorers have the same limit (screen.py)
TAG = re.compile(r"</?answer>", re.IGNORECASE)
THOUGHT = r"(?:think|thinking|thought|reasoning|scratchpad)"
THINKS = re.compile(rf"<{THOUGHT}>|\[THINK\]", re.IGNORECASE)
THOUGHT_ENDS = re.compile(rf"</{THOUGHT}>|\[/THINK\]", re.IGNORECASE)
BOXED = re.compile(r"\\(?:f?boxed|fbox)\s{0,20}\{")
# What an emphasis, the mark of a list, a unit of degrees or a full stop is made of says nothing.
BOX_FOLLOWS = re.compile(
    r"(?:[0-9^/+\u2212-]|(?:\u2260|!=|\\neq?|\\not\s?=)\s?|\\(?:times|cdot|div|pm)\s?|(?<=[0-9)}])\s?[*/+\u2212-]\s?)\Z"
)
BOX_GOES_ON = re.compile(
    r"[0-9]|[A-Za-z](?![A-Za-z])|_\{?[0-9]|\s?(?:[/+\u2212]|\^(?!\s?\{?\s?\\circ)|\\(?:times|cdot|div|pi|frac|sqrt)|-\s?[0-9\\])"
)
BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def tail(completion: str) -> str:
    """Return the end of the completion, where answers stand: at most MAX_CHARS characters, without a part for thinking.

    Drafts stand there, so that what follows the last `</think>` counts, and nothing after a `<think>` without an end.
    """
    read = text = without_special_tokens(completion[-MAX_CHARS:])
    for end in THOUGHT_ENDS.finditer(read):
        text = read[end.end() :]
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
    span = _box(text)
    return None if span is None else text[span[0] + 1 : span[1]].strip()


def _box(text: str) -> tuple[int, int] | None:
    """Return where the braces of the last box stand."""
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
    return last


def stands_alone(text: str) -> bool:
    r"""Return whether the last box is a whole answer: of -\boxed{2}, 3\boxed{2} and \boxed{2}^3 it holds a part."""
    span = _box(text)
    if span is None:
        return True
    before, after = text[: text.rindex("\\", 0, span[0])], text[span[1] + 1 :]
    return BOX_FOLLOWS.search(before[-40:]) is None and BOX_GOES_ON.match(after) is None


def marked(text: str) -> str | None:
    """Return the last tagged answer, else the last boxed one."""
    content = tagged(text)
    return boxed(text) if content is None else content


def is_blank(text: str) -> bool:
    """Return whether a reader would see nothing: spaces, control and formatting characters only."""
    return all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in text)
