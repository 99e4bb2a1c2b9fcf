"""Find the last number of a text that stands alone.

Of `2^{3}`, `5x`, `3-5`, `12:30`, `1 or 2` and `12_{8}` no part is a number of its own. So the text around the last
digit is cut into tokens, and what stands beside the last number decides. In doubt there is no number.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from fastslow.tasks.scoring.notation import END, FRACTION, HIDDEN, OVER, RAISED, THIN, VULGAR, flat
from fastslow.tasks.scoring.numerals import GAP, MAX_DIGITS, SCALED, Quantity, valued

BEFORE, AFTER = 3 * MAX_DIGITS, 200  # characters that are read around the last digit


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


UNITS = _words(
    "mm cm dm m km in ft yd mi nm um mg g kg t lb lbs oz ms s sec secs min mins h hr hrs d yr yrs ml mL l L cL",
    "V mV kV W kW kWh J kJ N kN Pa kPa A mA K C F Hz kHz MHz GHz mol eV rad sr deg T Wb H ohm ohms mph kmh kph",
    "pt pts USD EUR GBP cent cents meter meters metre metres centimeter centimeters centimetre centimetres kilometer",
    "kilometers kilometre kilometres millimeter millimeters feet foot inch inches mile miles yard yards second",
    "seconds minute minutes hour hours day days week weeks month months year years gram grams kilogram kilograms",
    "liter liters litre litres degree degrees dollar dollars euro euros unit units square sq cubic cu cc st nd rd th",
)
NAME = rf"(?:°[CF]?|Ω|[µμ]m|(?:{'|'.join(sorted(UNITS, key=len, reverse=True))})(?![A-Za-z]))"
POWERED = rf"{NAME}(?:\s?\^\s?[{{(]?-?[1-4][)}}]?|(?<=m)[23](?![0-9]))?"
UNIT = rf"{GAP}{POWERED}(?:{GAP}[/·*]?{GAP}{POWERED}){{0,3}}(?![A-Za-z0-9_^{{(])"

# Words that make another number of the one before or after them.
OPERATORS = _words("plus over divided multiplied mod modulo base sqrt root log ln lg exp sin cos tan pi")
CHANGES = _words(
    "squared cubed factorial half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths",
    "seventh sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths hundred",
    "thousand million billion trillion hundreds thousands millions billions trillions dozen dozens lakh lakhs crore",
    "crores mn bn mio mrd mil ppm ppb permille millionen milliarden millones",
)
JOINERS = _words("and or to through till until versus vs und oder et ou bis of per by times 和 或 与 及 到 至")
SIGNS = frozenset({"minus", "negative"})
POWERS_OF_TEN = "十百千万萬亿億兆십백천만억조"

OF = r"(?:root|out|square|cube|log|half|third|quarter|power|reciprocal|inverse|opposite|double|twice|factorial)\s+of\b"
TOKEN = re.compile(
    rf"(?P<number>{SCALED}(?:{UNIT})?)|(?P<hidden>[{HIDDEN}\"'`\u2018\u2019\u201c\u201d]++)|(?P<equal>[=-]+>|[⇒→≈]|:?=)"
    rf"|(?P<operator>\\[A-Za-z]++|[<>!]=|[<>≤≥≠^*/×·÷!|\\π√±∓∞%‰∈_{FRACTION}{OVER}{END}]|(?<=[0-9])(?:\ :\ |:)(?=[0-9])"
    rf"|and\s(?:a|one)\s(?:half|quarter|third)\b|{OF}|(?:divided|multiplied)\s+by\b|\d)"
    r"|(?P<sign>[-+])|(?P<joiner>[,;、&])|(?P<open>[(\[{（「【])|(?P<close>[)\]}）」】])"
    rf"|(?P<break>\n\s*+(?:[*>]\s(?=\s*\S))?)|(?P<space>[\s{THIN}]++)"
    r"|(?P<word>[A-Za-z]++|[^\W\d_A-Za-z]++)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    number: Quantity | None = None

    @property
    def latin(self) -> bool:
        return self.text[-1].isascii()


@dataclass(frozen=True)
class Found:
    """Hold what was read: `number` is None where digits are there, but no number that stands alone."""

    text: str
    number: Quantity | None = None


def last(text: str, *, marked: bool) -> Found | None:
    """Return the last number of a text; None where it has no digits. `marked` tells that the whole text is meant as an
    answer: then a minus may stand at its start, away from the number."""
    digits = [c for c in set(text) if c.isdecimal() or c in VULGAR or c in RAISED]
    if not digits:
        return None
    end = max(map(text.rfind, digits))
    start = max(0, end - BEFORE)
    read = text[start : end + AFTER]
    tokens = _tokens(flat(read if start or marked else f"\n{read}"))  # a star at the start of a line makes a list
    at = max((i for i, t in enumerate(tokens) if t.kind == "number" or t.text.isdecimal()), default=0)
    sign = _sign(tokens[:at], marked=marked and not start, cut=start > 0)
    found = tokens[at]
    if found.kind != "number" or sign is None or not _ends(tokens[at + 1 :]):
        return Found(text[max(0, end - 60) : end + 60].strip())
    number = found.number
    shown = ("-" if sign < 0 else "") + _shown(found.text)
    return Found(shown, number and Quantity(sign * number.value, number.decimal))


def _shown(text: str) -> str:
    """Return a numeral as feedback shows it."""
    return text.translate(
        {ord(FRACTION): " ", ord(OVER): "/", ord(END): None, ord(HIDDEN): None, ord(THIN): " "}
    ).strip()


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if match["number"]:
            tokens.append(Token("number", match["number"], valued(match)))
        else:
            tokens.append(Token(_kind_of_word(match[0]) if kind == "word" else kind, match[0]))
    return tokens


def _kind_of_word(word: str) -> str:
    lower = word.lower()
    if lower in OPERATORS:
        return "operator"
    if lower in CHANGES or word[0] in POWERS_OF_TEN:
        return "changes"
    if lower in JOINERS:
        return "joiner"
    if lower in SIGNS:
        return "sign"
    return "letter" if len(word) == 1 and word.isascii() and word not in ("a", "A", "I") else "word"


def _sign(before: list[Token], *, marked: bool, cut: bool) -> int | None:
    """Return the sign of the number that follows these tokens; None where it is a part of something."""
    sign, gap = 0, False
    for i in range(len(before) - 1, -1, -1):
        token, left = before[i], before[:i]
        if token.kind == "hidden":
            continue
        if token.kind in ("space", "open"):
            gap = token.kind == "space"
        elif token.kind == "sign":
            if sign or (gap and token.text in "+-" and not _begins_mathematics(left, marked=marked)):
                return None
            sign, gap = (1 if token.text == "+" else -1), False
        elif _glued(token, left, gap=gap, signed=sign != 0):
            return None
        else:
            return sign or 1
    return None if cut else sign or 1


def _begins_mathematics(left: list[Token], *, marked: bool) -> bool:
    """Return whether a minus after these tokens is a sign though a space follows it: elsewhere it may be a dash."""
    dollar = bool(left) and left[-1].kind == "hidden" and HIDDEN in left[-1].text
    return dollar or _kind_left(left) in ("equal", "open") or (marked and _kind_left(left) == "start")


def _glued(token: Token, left: list[Token], *, gap: bool, signed: bool) -> bool:
    """Return whether a number after this token belongs to what stands before."""
    if token.kind in ("number", "operator"):
        return True
    if token.kind in ("joiner", "letter"):
        glued = token.kind == "letter" and (not gap or signed)
        return glued or _kind_left(left) == "number"
    if token.kind == "changes":
        return True
    if token.kind == "word":
        return not gap and token.latin
    if token.kind == "other":  # a separator or a sign of other scripts
        return not gap and not token.text.isascii() and unicodedata.category(token.text) != "Sc"
    if token.kind == "close":
        return not gap or signed or _encloses_number(left)
    if token.kind == "equal":
        return _is_listed(left)
    return token.kind == "break" and _kind_left(left) in ("operator", "sign", "joiner")


def _ends(after: list[Token]) -> bool:
    """Return whether a number before these tokens is complete."""
    gap = False
    for i, token in enumerate(after):
        rest = [t for t in after[i + 1 : i + 4] if t.kind != "hidden"]
        following = next((t.kind for t in rest if t.kind != "space"), "end")
        if token.kind == "hidden":
            continue
        if token.kind in ("space", "close"):
            gap = token.kind == "space"
        elif token.kind == "open":
            return gap and following not in ("letter", "operator", "sign")
        elif token.kind == "sign":  # 5-year and 5 - said nobody; not 5-x, 5 + and 5 minus
            spaced = not rest or rest[0].kind in ("space", "break")
            return token.text == "-" and gap == spaced and following in ("word", "end", "break")
        elif token.text == "/":
            return following == "word"
        elif token.kind == "word":
            return gap or not token.latin
        else:
            return token.kind not in ("operator", "changes", "letter")
    return True


def _kind_left(tokens: list[Token]) -> str:
    """Return the kind of the last token that a reader sees, spaces and brackets aside; `start` where there is none."""
    for token in reversed(tokens):
        if token.kind not in ("hidden", "space", "close"):
            return token.kind
    return "start"


def _encloses_number(left: list[Token]) -> bool:
    """Return whether (2 stands to the left of a closing bracket; 2 alone is the number of a paragraph."""
    seen = [t.kind for t in left if t.kind not in ("hidden", "space")]
    return seen[-1:] == ["number"] and seen[-2:-1] == ["open"]


def _is_listed(left: list[Token]) -> bool:
    """Return whether an equals sign belongs to the second of `x = 1, x = 2`."""
    for i in range(len(left) - 1, -1, -1):
        if left[i].kind == "joiner":
            return _kind_left(left[:i]) == "number"
        if left[i].kind not in ("hidden", "space", "letter", "open", "close", "number") and left[i].text != "_":
            return False
    return False
