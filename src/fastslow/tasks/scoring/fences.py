"""Cut the fenced blocks out of a text, in the forms that models write, of which CommonMark's are some.

A fence is a run of three or more backticks or tildes, anywhere in a line. The block ends at a run of the same
character that is as long or longer and stands at the beginning or the end of a line: so a value may quote a shorter
fence, or hold one inside a string. A block may also begin and end in one line. One without an end goes on to the end
of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RUN = re.compile(r"`{3,}|~{3,}")
LABEL = re.compile(r"[ \t]*(?:([A-Za-z][A-Za-z0-9_.+#-]{0,20})(?![A-Za-z0-9\"'\]}:,]))?")
QUOTED = re.compile(r"(?:^|\n)[ \t]*>[ \t>]*[`~]{3,}\Z")
QUOTE_MARK = re.compile(r"(?m)^[ \t]*>[ \t]?")
STARTS_VALUE = re.compile(r"[\[{\"\-0-9]|(?:true|false|null)\s*\Z")


@dataclass(frozen=True)
class Block:
    """Hold one fenced block: `label` is its language in small letters, or empty."""

    label: str
    content: str


def split(text: str) -> tuple[list[Block], str]:
    """Return the blocks in their order, and the text around them."""
    text = text.replace("\r\n", "\n")
    runs = [(run.start(), run.end()) for run in RUN.finditer(text)]
    blocks: list[Block] = []
    outside, at, i = [], 0, 0
    while i < len(runs):
        start, opened = runs[i]
        if start and text[start - 1] == '"':  # inside a text
            i += 1
            continue
        outside.append(text[at:start])
        line_end = text.find("\n", opened)
        line_end = len(text) if line_end < 0 else line_end
        i += 1
        while i < len(runs) and not _closes(text, runs[i], text[start:opened], line_end):
            i += 1
        end, at = runs[i] if i < len(runs) else (len(text), len(text))
        i += 1
        blocks.append(_block(text, opened, end, line_end))
    outside.append(text[at:])
    return blocks, "".join(outside)


def _closes(text: str, run: tuple[int, int], mark: str, line_end: int) -> bool:
    start, end = run
    if text[start] != mark[0] or end - start < len(mark):
        return False
    after = text[end : end + 200].partition("\n")[0]
    if end <= line_end:  # in the line that opened the block; {"a": "``` b"} holds none
        return not after.strip() or (text[start - 1] != '"' and after[0] in " .,;)")
    return not after.strip() or not text[text.rfind("\n", 0, start) : start].strip(" \t\n>")


def _block(text: str, opened: int, end: int, line_end: int) -> Block:
    label = LABEL.match(text, opened, min(end, line_end))
    language, begins = ((label[1] or "").lower(), label.end()) if label else ("", opened)
    rest = text[begins:line_end].strip() if end > line_end else ""
    if rest and not STARTS_VALUE.match(rest):  # more about the block than its language
        begins = line_end
    content = text[begins:end]
    if QUOTED.search(text, max(0, opened - 40), opened):
        content = QUOTE_MARK.sub("", content)
    content = content.strip()
    return Block("", language) if not content and language in ("true", "false", "null") else Block(language, content)


def holds_value(block: Block) -> bool:
    """Return whether a block looks like JSON, be it right or wrong."""
    return STARTS_VALUE.match(block.content) is not None
