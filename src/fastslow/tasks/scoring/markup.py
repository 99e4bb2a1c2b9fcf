r"""Take the markup of a page off a text: HTML's entities and tags, Markdown's emphasis, the tokens of chat templates.

A raised or lowered digit is another number than its letters say, and a text that is struck out is no answer, so that
tags become what they mean. Every function takes time linear in the text.
"""

from __future__ import annotations

import html
import re

HIDDEN = "\0"  # stands where a dollar sign or an emphasis was: neither a space nor a part of a number
STRUCK = "\\struck "  # Markdown's ~~, which takes back what stands between: an unknown command

ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
NESTED = 2  # &amp;minus; is an entity of an entity
ATTRIBUTES = r"(?:\s[^<>]{0,80})?"
RAISED = re.compile(rf"<(sup|sub){ATTRIBUTES}>([^<>]{{0,40}})</\1\s?>", re.IGNORECASE)
STRUCK_TAG = re.compile(rf"</?(?:del|s|strike){ATTRIBUTES}>", re.IGNORECASE)
INLINE_TAG = re.compile(
    rf"</?(?:b|i|em|strong|span|u|code|font|mark|small|big|tt|kbd|var|a|math|mn|mi|mrow|sup|sub){ATTRIBUTES}/?>",
    re.IGNORECASE,
)
TAG = re.compile(rf"</?[A-Za-z][A-Za-z0-9]{{0,15}}{ATTRIBUTES}/?>")
EMPHASIS = re.compile(
    r"(?P<opens>(?<![\w)}\]*\\])\*{1,3}(?=[^\s*])|(?<![\w\\])_{1,2}(?=[^\s_{]))"
    r"|(?P<ends>(?<=[^\s*])\*{1,3}(?![\w({\[\\*]|[-+][0-9])|(?<=[^\s_])_{1,2}(?![\w{(\\]))"
)
SPECIAL = (
    r"(?:<\|[^<>|\s]{1,40}\|>|<\uff5c[^<>\s]{1,40}\uff5c>|<(?:eos|bos|pad|unk|end_of_turn|start_of_turn)>|\[/?INST\])"
)
SPECIAL_END = re.compile(rf"(?:{SPECIAL}|</s>)\Z")
SPECIAL_START = re.compile(rf"\s{{0,20}}(?:{SPECIAL}\s{{0,5}}(?:(?:assistant|model)\s{{1,5}})?)+")
SPECIAL_CHARS = 60


def unescaped(text: str) -> str:
    r"""Return the text with HTML's entities as characters, and <sup> and <sub> as LaTeX has them."""
    for _ in range(NESTED):
        if "&" not in text or ";" not in text:
            break
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text and ">" in text:
        text = RAISED.sub(lambda match: f"{'^' if match[1].lower() == 'sup' else '_'}{{{match[2].strip()}}}", text)
        text = STRUCK_TAG.sub(lambda _: STRUCK, text)
    return text


def untagged(text: str) -> str:
    """Return the text without tags: one that may stand within a line parts digits and is no space."""
    if "<" not in text:
        return text
    return TAG.sub("\n", INLINE_TAG.sub(HIDDEN, text))


def unemphasised(text: str) -> str:
    """Return the text with Markdown's emphasis hidden where both of its ends are there: the star of 2* is none."""
    if "*" not in text and "_" not in text:
        return text
    opened: dict[str, list[tuple[int, int]]] = {}
    spans: list[tuple[int, int]] = []
    for match in EMPHASIS.finditer(text):
        mark = match[0]
        if opened.get(mark) and not text[match.start() - 1].isspace():
            spans += [opened[mark].pop(), match.span()]
        elif match["opens"] is not None:
            opened.setdefault(mark, []).append(match.span())
    pieces, at = [], 0
    for start, end in sorted(spans):
        pieces.append(text[at:start])
        at = end
    return HIDDEN.join([*pieces, text[at:]])


def without_special_tokens(text: str) -> str:
    """Return the text without the tokens of a chat template at its ends, such as <|im_end|>."""
    end = len(text)
    while True:
        end = len(text[:end].rstrip()) if text[end - 1 : end].isspace() else end
        match = SPECIAL_END.search(text, max(0, end - SPECIAL_CHARS), end)
        if match is None or (match[0] == "</s>" and "<s>" in text):  # a text between both is struck out
            break
        end = match.start()
    start = SPECIAL_START.match(text, 0, end)
    return text[start.end() if start else 0 : end]
