"""Find the last number of a text that stands alone.

Of `2^{3}`, `5x`, `3-5`, `12:30`, `1 or 2` and `12_{8}` no part is a number of its own. So the text around the last
digit is cut into tokens, and what stands beside the last number decides. In doubt there is no number.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from fastslow.tasks.scoring import hedges
from fastslow.tasks.scoring.markup import HIDDEN
from fastslow.tasks.scoring.notation import END, FRACTION, OVER, RAISED, THIN, VULGAR, flat
from fastslow.tasks.scoring.numerals import GAP, MAX_DIGITS, SCALED, Quantity, factorial, valued
from fastslow.tasks.scoring.texts import HANGUL, UNSPACED

BEFORE, AFTER = 3 * MAX_DIGITS, 200  # characters that are read around the last digit
LONG_DECIMAL = re.compile(r"\.[0-9]{6}")  # 0.3... is no number, and 0.333333... is one within the tolerance
LIKELY_FACTORIAL = 20  # the answer is 5! may be 120; nobody answers 42!


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
# Glued to a digit these are magnitudes, as in 2K and 2T; apart they are the kelvin and the tesla.
MAGNITUDES = frozenset("KT")
NAME = (
    rf"(?:°[CF]?|Ω|[µμ]m|(?<![0-9])[{''.join(sorted(MAGNITUDES))}](?![A-Za-z])"
    rf"|(?:{'|'.join(sorted(UNITS - MAGNITUDES, key=len, reverse=True))})(?![A-Za-z]))"
)
POWERED = rf"{NAME}(?:\s?\^\s?[{{(]?-?[1-4][)}}]?|(?<=m)[23](?![0-9]))?"
UNIT = rf"{GAP}{POWERED}(?:{GAP}[/·*]?{GAP}{POWERED}){{0,3}}(?![A-Za-z0-9_^{{(])"

# Words that make another number of the one before or after them.
OPERATORS = _words("plus over divided multiplied mod modulo base sqrt root log ln lg exp sin cos tan pi choose")
CHANGES = _words(
    "squared cubed factorial half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths",
    "seventh sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths hundred",
    "thousand million billion trillion hundreds thousands millions billions trillions dozen dozens lakh lakhs crore",
    "crores mn bn mio mrd mil ppm ppb permille millionen milliarden millones",
)
JOINERS = _words("and or to through till until versus vs und oder et ou bis of per by times 和 或 与 及 到 至")
SIGNS = frozenset({"minus", "negative"})
UNEQUAL = frozenset({"!=", "/", "<", ">", "<=", ">="})  # before an equals sign, as in =/= and !==
POWERS_OF_TEN = "十百千万萬亿億兆십백천만억조"

OF = r"(?:root|out|square|cube|log|half|third|quarter|power|reciprocal|inverse|opposite|double|twice|factorial)\s+of\b"
TOKEN = re.compile(
    rf"(?P<number>{SCALED}(?:{UNIT})?)|(?P<hidden>[{HIDDEN}\"'`\u2018\u2019\u201c\u201d]++)|(?P<equal>[=-]+>|[⇒→≈]|:?=)"
    rf"|(?P<operator>\\[A-Za-z]++|[<>!]=|[<>≤≥≠^*/×·÷!|\\π√±∓∞%‰∈_{FRACTION}{OVER}{END}]|(?<=[0-9])(?:\ :\ |:)(?=[0-9])"
    rf"|and\s(?:a|one)\s(?:half|quarter|third)\b|{OF}|(?:divided|multiplied)\s+by\b|\d)|(?P<dots>\.{{2,}}|…)"
    r"|(?P<sign>[-+])|(?P<joiner>[,;、&])|(?P<open>[(\[{（「【])|(?P<close>[)\]}）」】])"
    rf"|(?P<break>\n\s*+(?:\*\s(?=\s*\S))?)|(?P<space>[\s{THIN}]++)"
    r"|(?P<word>[A-Za-z]++|[^\W\d_A-Za-z]++)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    number: Quantity | None = None

    @property
    def spaced(self) -> bool:
        """Whether the script of a word has spaces between words, so that a word beside a digit is one with it."""
        return not UNSPACED.match(self.text[-1]) and not HANGUL.match(self.text[-1])


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
    if found.kind != "number" or sign is None or _is_hedged(tokens, at):
        return Found(text[max(0, end - 60) : end + 60].strip())
    number, rest = found.number, tokens[at + 1 :]
    if rest and rest[0].text == "!":
        prose = not marked and any(token.kind == "word" for token in tokens[:at])
        marks = next((i for i, token in enumerate(rest) if token.text != "!"), len(rest))
        number, rest = _exclaimed(found, marks, prose=prose), rest[marks:]
    elif _kind_right(rest) == "dots" and not LONG_DECIMAL.search(found.text):
        number = None
    if number is None or not _ends(rest):
        return Found(text[max(0, end - 60) : end + 60].strip())
    shown = ("-" if sign < 0 else "") + _shown(found.text)
    return Found(shown, number and Quantity(sign * number.value, number.decimal))


def _is_hedged(tokens: list[Token], at: int) -> bool:
    """Return whether the words beside a number make it a bound or deny it."""
    texts = [token.text for token in tokens[max(0, at - 24) : at + 24]]
    at = min(at, 24)
    return hedges.before("".join(texts[:at])) or hedges.after("".join(texts[at + 1 :]))


def _exclaimed(found: Token, marks: int, *, prose: bool) -> Quantity | None:
    """Return the value of a number before exclamation marks, of which one makes a factorial of a whole number.

    In a sentence it ends that, unless the number is so small that a factorial may be meant: then there is no value.
    """
    whole = found.number if found.text.isdecimal() else None
    if whole is None:
        return found.number if prose or not found.text[-1].isdecimal() else None
    if prose:
        return found.number if whole.value > LIKELY_FACTORIAL else None
    return factorial(int(whole.value)) if marks == 1 else None


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
    single = len(word) == 1 and (word.isascii() or "\u0370" <= word <= "\u03ff")
    return "letter" if single and word not in ("a", "A", "I") else "word"


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
        return not gap and token.spaced
    if token.kind == "other":  # a separator or a sign of other scripts, or a relation such as ≲
        category = unicodedata.category(token.text)
        return category == "Sm" or (not gap and not token.text.isascii() and category != "Sc")
    if token.kind == "dots":
        return _kind_left(left) in ("number", "joiner")
    if token.kind == "close":
        return not gap or signed or _encloses_number(left)
    if token.kind == "equal":
        return bool(left and left[-1].text in UNEQUAL) or _is_listed(left)
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
            return gap or not token.spaced
        elif token.kind == "other" and not token.text.isascii():  # an accent, or a relation such as ≲
            return unicodedata.category(token.text)[0] != "M" and unicodedata.category(token.text) != "Sm"
        else:
            return token.kind not in ("operator", "changes", "letter")
    return True


def _kind_left(tokens: list[Token]) -> str:
    """Return the kind of the last token that a reader sees, spaces and brackets aside; `start` where there is none."""
    for token in reversed(tokens):
        if token.kind not in ("hidden", "space", "close"):
            return token.kind
    return "start"


def _kind_right(tokens: list[Token]) -> str:
    return next((token.kind for token in tokens if token.kind not in ("hidden", "space")), "end")


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
