r"""Tell how a mathematical answer is built: (1, 2] is an interval or a pair, \{1, 2\} and `1, 2` have no order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastslow.tasks.scoring import latex

DECORATION = re.compile(r"\\[,;:!> ]|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle(?![a-z])|~|\\?\$|\s+")
DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![a-z])|°|\\?%")
THOUSANDS = re.compile(r"(?<=[0-9])\{,\}(?=[0-9]{3})")
WORD_END = re.compile(
    r"\\[A-Za-z]+\s+(?=[A-Za-z])|[A-Za-z]{2,}\s+(?=[A-Za-z])|(?<=[0-9])\s+(?=[0-9])(?![0-9]{3}(?![0-9]))"
)
WORDS = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}")
BRACKET = re.compile(r"\\[{}]|\\.|[()\[\]{}]", re.DOTALL)
RELATION = re.compile(r"[=<>≤≥≠]|\\(?:leq?|geq?|neq?|lt|gt|in)(?![a-z])")
ASSIGNED = re.compile(r"(?:\\[a-z]+|[A-Za-z])(?:_\{?[A-Za-z0-9]+\}?)?(?:\([A-Za-z]\))?(?:=|\\in(?![a-z]) ?)(.+)")
UNION = "\\cup"
PAIRS = {"(": ")", "[": "]", "\\{": "\\}"}


@dataclass(frozen=True)
class Parts:
    """`opening` and `closing` are "" for a bare list. A union's elements are the texts of its members, in no order."""

    elements: tuple[str, ...]
    opening: str = ""
    closing: str = ""
    union: bool = False

    @property
    def ordered(self) -> bool:
        return self.opening in ("(", "[") and not self.union


def plain(text: str) -> str:
    """Return the text without what changes nothing: spaces, bracket sizes, signs for degree, percent and dollar, full
    stop."""
    if len(text) > 10 * latex.MAX_CHARS:
        return text.strip()
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\N{MINUS SIGN}", "-")
    # The space that ends a command, and that in 1 2, stay.
    text = WORD_END.sub(lambda match: match.group().rstrip() + "\0", text)
    text = DECORATION.sub("", text).replace("\0", " ")
    text = DEGREES.sub("", THOUSANDS.sub(",", text)).strip().removesuffix(".")
    words = WORDS.fullmatch(text)
    return words[1].strip() if words else text


def split(text: str) -> Parts:
    """Return the parts of a plain text whose brackets are balanced."""
    members = [member for member in _at_top(text, UNION) if member]
    if len(members) > 1:
        return Parts(tuple(members), union=True)
    opening = next((o for o in PAIRS if text.startswith(o)), "")
    closing = next((c for c in (")", "]", "\\}") if text.endswith(c)), "") if opening else ""
    if closing and _encloses(text):
        inside = text[len(opening) : len(text) - len(closing)]
        elements = _elements(inside)
        if len(elements) > 1:
            return Parts(tuple(elements), opening, closing)
        if closing == PAIRS[opening] and opening != "[":
            return split(inside) if inside.strip() else Parts((text,))  # (3) and \{3\} are 3
        return Parts((text,))
    return Parts(tuple(_elements(text)))


def form(text: str) -> str:
    """Describe a plain text in words for feedback."""
    if is_relation(text):
        return "an equation or inequality"
    parts = split(text)
    if parts.union:
        return f"a union of {len(parts.elements)}"
    if len(parts.elements) == 1:
        return "one value"
    return f"{len(parts.elements)} elements" + (f" in {parts.opening} {parts.closing}" if parts.opening else "")


def is_relation(text: str) -> bool:
    """Return whether a text is an equation or inequality, or several: every element of `x=1,y=2` is one, and so is the
    whole."""
    return RELATION.search(text) is not None


def unassigned(given: str, gold: str) -> tuple[str, str]:
    """Return both texts; where one is `x = 3` and the other is not a relation, the relation is replaced by 3."""
    for text, other in ((given, gold), (gold, given)):
        match = ASSIGNED.fullmatch(text)
        if match and not is_relation(other) and not is_relation(match[1]):
            return (match[1], other) if text is given else (other, match[1])
    return given, gold


def same_form(given: Parts, gold: Parts) -> bool:
    """Return whether elements can be paired at all. A bare list may stand for a set, or for a pair in the same
    order."""
    if len(given.elements) != len(gold.elements) or given.union != gold.union:
        return False
    if len(gold.elements) == 1 or not given.opening or given.union:
        return True
    if gold.ordered:
        return (given.opening, given.closing) == (gold.opening, gold.closing)
    return not gold.opening or given.opening == "\\{"


def _elements(text: str) -> list[str]:
    elements = [part.strip() for part in _at_top(text, ",", ";")]
    return elements if all(elements) else [text]


def _at_top(text: str, *separators: str) -> list[str]:
    """Return the pieces between separators that stand outside all brackets."""
    pieces, start, depth = [], 0, 0
    at = 0
    while at < len(text):
        token = text[at : at + 2] if text[at] == "\\" and text[at + 1 : at + 2] in "{}" else text[at]
        if token[-1] in latex.OPENING:
            depth += 1
        elif token[-1] in latex.CLOSING:
            depth -= 1
        separator = next((s for s in separators if depth == 0 and text.startswith(s, at)), None)
        if separator:
            pieces.append(text[start:at])
            start = at + len(separator)
        at += len(separator or token)
    return [*pieces, text[start:]]


def _encloses(text: str) -> bool:
    """Return whether the first bracket closes with the last one: (a)(b) only looks as if it did."""
    depth = 0
    for match in BRACKET.finditer(text):
        if match.group()[-1] in latex.OPENING:
            depth += 1
        elif match.group()[-1] in latex.CLOSING:
            depth -= 1
            if depth == 0:
                return match.end() == len(text)
    return False
