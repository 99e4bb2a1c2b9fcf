"""Score JSON by value (`json`)."""

from __future__ import annotations

import functools
import json
import math
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from fastslow.tasks.scoring import fences, hedges
from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import boxed, is_blank, stands_alone, tagged, tail

MAX_DEPTH = 50  # deeper than any answer, and far from Python's recursion limit
MAX_DIGITS = 400  # digits of a whole number: exact arithmetic stays instant
RELATIVE = Fraction(1, 10**6)  # largest relative error of a number that is not whole
UNLABELLED = ("", "text", "txt", "plaintext", "output", "none")
CODE = re.compile(r"`(?!`).*(?<!`)`", re.DOTALL)
BOX_WORDS = re.compile(r"\A\\(?:text|mathrm|texttt|mathtt)\s?\{(.*)\}\Z", re.DOTALL)
SHOWN_CHARS = 60  # characters of each side of a difference
# Prose before a value that stands alone: the first bracket, or what follows "answer:".
LABEL = re.compile(
    r"(?:^|\n)[\s*_#]{0,8}(?i:(?:so\s|hence\s|thus\s|therefore,?\s)?(?:the\s|my\s)?(?:final\s|correct\s)?"
    r"(?:answer|result|output|value|solution|json))[*_]{0,3}\s{0,3}(?:(?:is)?\s{0,3}:|is|=)[*_]{0,3}\s{1,4}(?=[^\n]*+\s*+\Z)"
)
STOPS = " \t\r\n.`*_$"  # what may follow such a value
APART = ("", *" \t\n*`_:$")  # what may stand right before one; -[1] and f[1] are none
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)

KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a truth value",
    type(None): "null",
}


class Written(float):
    """Hold a number with a point or an exponent, and its exact value: 1.00000000000000000001 is not 1."""

    exact: Fraction

    def __new__(cls, text: str) -> Written:
        number = super().__new__(cls, text)
        # Any exponent may stand after a zero, and Fraction would compute that power of ten.
        number.exact = Fraction(text) if number else Fraction(0)
        return number


class NotJson(ValueError):
    """Raised for a text that is not JSON, or is too large or deep to be read; the message says why. `text` is what was
    tried to read of a completion, '' where nothing stands there."""

    text: str = ""


@SCORERS.register("json")
class Json(PlainScorer):
    """Compare the value in the last answer tags, else in the last fenced block that holds JSON, else the whole text,
    else in the last box, else its last line, or what follows "answer:" or is its only list or object, at its end.

    Objects are equal in any order of keys, lists in the same order only. 1, true, "1" and null differ; 1 and 1.0 do
    not. A whole number must be met exactly, any other within a millionth of its size.
    """

    def judge(self, completion: str, gold: str) -> Judgement:
        text = tail(completion)
        if is_blank(text):
            return no_answer("the completion is empty")
        try:
            shown, given = found(text)
        except NotJson as error:
            if not error.text:
                return no_answer("nothing stands where the value should")
            return unparsable(error.text, f"is not JSON ({error})")
        gap = difference(_gold(gold), given)
        return RIGHT if gap is None else wrong(shown, gap)

    def objection(self, gold: str) -> str | None:
        try:
            load(gold, most=10 * MAX_DEPTH * MAX_DIGITS)
        except NotJson as error:
            return f"is not JSON ({error})"
        return None


def found(completion: str) -> tuple[str, Any]:
    """Return the JSON text of a completion, from where the scorer `json` looks for it, and its value. Raises NotJson
    with the first text that was tried."""
    first: NotJson | None = None
    for candidate in json_texts(completion):
        if is_blank(candidate):
            raise NotJson("nothing stands where the value should")
        try:
            return candidate, load(candidate)
        except NotJson as error:
            error.text = candidate
            first = first or error
    raise first or NotJson("there is no value")


def load(text: str, most: int | None = None) -> Any:
    """Return the value of a JSON text. Raises NotJson, also for what Python reads beyond the standard."""
    if most is not None and len(text) > most:
        raise NotJson(f"longer than {most} characters")
    if _depth(text) > MAX_DEPTH:
        raise NotJson(f"nested deeper than {MAX_DEPTH}")
    try:
        return json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise NotJson(type(error).__name__) from None


def difference(right: Any, given: Any, at: str = "$") -> str | None:
    """Return the first difference, in words and with its place; None where there is none. Looks no deeper than `load`
    does."""
    if _is_number(right) and _is_number(given):
        return None if _close(right, given) else f"At {at}: {_short(given)} is off by {_gap(right, given)}."
    if type(right) is not type(given):
        return f"At {at}: wrong type, {_kind(given)} instead of {_kind(right)}."
    if isinstance(right, dict):
        return _object_difference(right, given, at)
    if isinstance(right, list):
        if len(right) != len(given):
            return f"At {at}: {len(given)} elements instead of {len(right)}."
        gaps = (difference(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(right, given, strict=True)))
        return next(filter(None, gaps), None)
    return None if right == given else f"At {at}: {_short(given)} instead of {_short(right)}."


def _kind(value: Any) -> str:
    return "a number" if _is_number(value) else KINDS[type(value)]


def _object_difference(right: dict[str, Any], given: dict[str, Any], at: str) -> str | None:
    for key in right:
        if key not in given:
            return f"At {at}: the key {_short(key)} is missing."
    for key in given:
        if key not in right:
            return f"At {at}: the key {_short(key)} does not belong there."
    return next(filter(None, (difference(right[key], given[key], f"{at}.{_key(key)}") for key in right)), None)


@functools.lru_cache(maxsize=1024)
def _gold(text: str) -> Any:
    return load(text)


def json_texts(text: str) -> Iterator[str]:
    """Yield the texts that may hold the value. A marked answer is the answer; only without marks are others tried.

    The last block that is JSON by its label, or looks like JSON without one, is the value, or a broken one. Blocks of
    other languages are asked last.
    """
    marked = tagged(text)
    whole = _uncoded(text if marked is None else marked)
    blocks, rest = fences.split(whole)
    if blocks and fences.STARTS_VALUE.match(whole):
        yield whole  # its fences may stand in one of its texts
    meant = [b for b in blocks if b.label.startswith("json") or (b.label in UNLABELLED and fences.holds_value(b))]
    if meant:
        yield meant[-1].content
        return
    yield from (block.content for block in blocks[::-1] if fences.holds_value(block))
    if marked is not None or is_blank(rest):
        yield blocks[-1].content if blocks and is_blank(rest) else _uncoded(rest)
        return
    box = boxed(rest)
    candidates = [_uncoded(rest)]
    if box is not None:
        candidates += [_unescaped(box)] if stands_alone(rest) else []
    else:
        label = LABEL.search(rest)
        if "\n" in rest.strip():
            candidates.append(_uncoded(rest.strip().rpartition("\n")[2]))
        if label:
            candidates.append(_uncoded(rest[label.end() :].strip(STOPS.replace("`", ""))))
        candidates += _after_prose(rest)
    yield from dict.fromkeys(candidates)


def _unescaped(box: str) -> str:
    r"""Return the content of a box without LaTeX's wrappers: \text{[1]}, $[1]$ and \{"a": 1\}."""
    text = BOX_WORDS.sub(r"\1", box.strip().strip("$").strip())
    return text.replace("\\{", "{").replace("\\}", "}") if text.startswith(("\\{", "[\\{")) else text


def _after_prose(text: str) -> Iterator[str]:
    """Yield the list or object that ends a text, if it is the only one: of several it is not said which is meant."""
    spans, depth, start = [], 0, 0
    for token in TOKEN.finditer(text):
        if token[0] in "[{":
            start = token.start() if depth == 0 else start
            depth += 1
        elif token[0] in "]}" and depth:
            depth -= 1
            if depth == 0:
                spans.append((start, token.end()))
    if depth or not spans or text[spans[0][1] :].strip(STOPS):
        return
    before = text[: spans[0][0]]
    if before[-1:] in APART and not hedges.unsure(before) and not hedges.before(before):
        yield text[slice(*spans[0])]


def _uncoded(text: str) -> str:
    """Return a text without the space and the single backticks around it."""
    text = text.strip("\ufeff").strip()
    return text[1:-1].strip() if CODE.fullmatch(text) else text


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise NotJson(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise NotJson(f"a number of {len(text)} digits")
    number = float(text)
    if not math.isfinite(number):
        raise NotJson("a number too large")
    if abs(number) < sys.float_info.min and text.lower().partition("e")[0].strip("-0."):
        raise NotJson("a number too small")
    return Written(text)


def _refuse_constant(name: str) -> None:
    raise NotJson(f"{name} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("a key stands twice in one object")
    return members


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(right: float, given: float) -> bool:
    expected, got = _exact(right), _exact(given)
    if expected == got or isinstance(right, int):
        return expected == got
    return abs(got - expected) <= RELATIVE * abs(expected)


def _exact(value: float) -> Fraction:
    return value.exact if isinstance(value, Written) else Fraction(value)


def _gap(right: float, given: float) -> str:
    try:
        return f"{float(_exact(given) - _exact(right)):+.6g}"
    except OverflowError:
        return "far"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def _key(key: str) -> str:
    return key if len(key) <= SHOWN_CHARS and key.isidentifier() else _short(key)
