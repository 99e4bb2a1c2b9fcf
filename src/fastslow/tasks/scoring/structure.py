r"""Tell how a mathematical answer is built: (1, 2] is an interval or a pair, \{1, 2\} and `1, 2` have no order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastslow.tasks.scoring import latex
from fastslow.tasks.scoring.notation import FONTS, ascii_signs

GREEK = ("pi", "theta", "alpha", "beta", "gamma", "delta", "lambda", "mu", "omega", "phi", "sigma", "rho", "tau")
SIGNS = str.maketrans(
    {"∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in ", "∖": r"\setminus "}
    | {"≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "±": r"\pm "}
    | {letter: f"\\{name} " for letter, name in zip("πθαβγδλμωφσρτ", GREEK, strict=True)}
    | {"ℝ": r"\mathbb{R}", "≃": "≈", "≅": "≈", "⋯": "…"}
)
ALIASES = {
    **dict.fromkeys(("geqslant", "geqq"), r"\geq"),
    **dict.fromkeys(("leqslant", "leqq"), r"\leq"),
    **dict.fromkeys(("cfrac", "dfrac", "tfrac"), r"\frac"),
    **dict.fromkeys(("lvert", "rvert", "vert"), "|"),
    **dict.fromkeys(("smallsetminus", "backslash"), r"\setminus"),
    **dict.fromkeys(("textrm", "textit", "textsf", "textnormal", "mbox", "hbox"), r"\text"),
    **dict.fromkeys(("dbinom", "tbinom"), r"\binom"),
    **dict.fromkeys(("approx", "simeq", "thickapprox", "doteq"), "≈"),
    **dict.fromkeys(
        ("bm", "boldsymbol", "mathit", "mathsf", "mathtt", "mathnormal", "underline", "emph", "ensuremath"), ""
    ),
} | {"lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "infin": r"\infty", "R": r"\mathbb{R}", "ast": "*"}
ALIASES |= {"varnothing": r"\emptyset", "colon": ":", "coloneqq": ":="}
ALIAS = re.compile(rf"\\({'|'.join(ALIASES)})(?![A-Za-z])")
ROOT = re.compile(r"√\s?(?:\(([^()]*)\)|\{([^{}]*)\}|([0-9]++(?:\.[0-9]++)?|[A-Za-z]))")
OVER = re.compile(r"\\over(?![A-Za-z])")
CONSTANT = re.compile(r"\\(?:mathrm|text)\{\s?([eid])\s?\}")
PER_CENT = re.compile(r"\\text\s?\{\s*(?:percent|per cent|pct)\s*\}|(?<=[0-9}])\s*(?:percent|pct)(?![A-Za-z])")
# Words before a value that say what is meant by it, and no more.
LEAD = re.compile(
    r"\A[\s$]{0,3}(?:\\displaystyle)?\s{0,3}\\text\s?\{\s*(?:(?:so|thus|hence|therefore),?\s)?(?:the\s)?(?:final\s|correct\s)?(?:answer|result|value|solution)"
    r"(?:\sis)?\s?[:=]?\s*\}",
    re.IGNORECASE,
)
ABOUT = re.compile(r"\\text\s?\{\s*(?:approximately|approx\.?|about|roughly|around|circa|ca\.)\s*\}", re.IGNORECASE)
TEMPERATURE = re.compile(r"(?:\^\s?\{?\s?\\circ\s?\}?|°)\s?(?:\\mathrm\{)?([CF])\}?(?![A-Za-z])")
OR = "∨"  # between alternatives, after `plain`
SPACE = r"(?:(?<!\\)\\[,;: ]|~)"
SPACING = rf"(?:\\q?quad(?![A-Za-z])|{SPACE}|\s)"
JOINER = re.compile(
    rf"{SPACING}{{0,6}},?{SPACING}{{0,6}}(?:\\(?:text|mathrm)\s?\{{[\s,~]{{0,4}}(?P<named>and|or|und|oder)[\s,~]{{0,4}}\}}"
    rf"|(?P<sign>\\(?:lor|vee)(?![A-Za-z])|、|，)|(?<![A-Za-z\\{{])(?P<bare>and|or)(?![A-Za-z]))"
    rf"{SPACING}{{0,6}}"
)
# In "100, 200" the space tells that these are two.
APART = re.compile(rf"(?<=[0-9]),(?:\s|{SPACE})+(?=[0-9]{{3}}(?![0-9]))")
DECORATION = re.compile(rf"(?<!\\)\\[,;:!> ]|\\(?:left|right|[bB]igg?[lr]?|thinspace)(?![A-Za-z])|{FONTS}|~|\\?\$|\s+")
DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![a-z])|°|\\?%")
THOUSANDS = re.compile(r"(?<=[0-9])\{,\}(?=[0-9]{3})")
THIN = re.compile(rf"(?<=[0-9])(?:{SPACE}|\u2009)(?=[0-9]{{3}}(?![0-9]))")
WORD_END = re.compile(
    r"\\[A-Za-z]+\s+(?=[A-Za-z])|[A-Za-z]{2,}\s+(?=[A-Za-z])|(?<=[0-9])\s+(?=[0-9]|\\frac)(?![0-9]{3}(?![0-9]))"
)
WORDS = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}")
BRACKET = re.compile(r"\\[{}]|\\.|[()\[\]{}]", re.DOTALL)
ORDER = r"[<>≤≥≠]|\\(?:leq?|geq?|neq?|lt|gt)(?![a-z])"
INEQUALITY = re.compile(ORDER)
RELATION = re.compile(rf"=|{ORDER}|\\in(?![a-z])")
VARIABLE = r"(?:\\[a-z]+|[A-Za-z])"
ASSIGNED = re.compile(
    rf"(?P<name>({VARIABLE})(?:_\{{?[A-Za-z0-9]+\}}?)?(?:\([A-Za-z]\))?|\({VARIABLE}(?:,{VARIABLE}){{1,3}}\))"
    r"(?:=|\\in(?![a-z]) ?)(?P<value>.+)"
)
UNION = "\\cup"
EMPTY = "\\emptyset"
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
    """Return the text in one spelling, without what changes nothing: spaces, bracket sizes, signs for degree, percent
    and dollar, a full stop, an equals sign at the start."""
    if len(text) > 10 * latex.MAX_CHARS:
        return text.strip()
    text = ascii_signs(text)
    if OVER.search(text):
        text = ascii_signs(f"{{{text.strip().removesuffix('.')}}}")  # the braces around 1 \over 2 may be the box's
    text = ROOT.sub(lambda match: f"\\sqrt{{{match[1] or match[2] or match[3]}}}", text.translate(SIGNS))
    text = ABOUT.sub("≈", LEAD.sub("", ALIAS.sub(lambda match: ALIASES[match[1]], text)))
    text = TEMPERATURE.sub(r"\\text{\1}", CONSTANT.sub(r"\1", PER_CENT.sub("%", text)))
    text = JOINER.sub(
        lambda match: (
            OR if (match["named"] or match["bare"]) in ("or", "oder") or "\\" in (match["sign"] or "") else ","
        ),
        text,
    )
    text = THIN.sub(",", APART.sub(";", text))
    # The space that ends a command, and that in 1 2, stay.
    text = WORD_END.sub(lambda match: match.group().rstrip() + "\0", text)
    text = DECORATION.sub("", text).replace("\0", " ")
    text = DEGREES.sub("", THOUSANDS.sub(",", text)).strip().removesuffix(".").removeprefix("=").removeprefix("≈")
    text = EMPTY if text == "{}" else text.replace("\\{\\}", EMPTY)
    if text.startswith("{") and _encloses(text):
        text = f"\\{text[:-1]}\\}}"  # braces without backslashes show nothing in LaTeX, and mean a set
    words = WORDS.fullmatch(text)
    return words[1].strip() if words else text


def split(text: str) -> Parts:
    """Return the parts of a plain text whose brackets are balanced."""
    members = [member for member in at_top(text, UNION) if member]
    if len(members) > 1:
        return Parts(tuple(members), union=True)
    opening = next((o for o in PAIRS if text.startswith(o)), "")
    closing = next((c for c in (")", "]", "\\}") if text.endswith(c)), "") if opening else ""
    if closing and _encloses(text):
        inside = text[len(opening) : len(text) - len(closing)]
        elements = _elements(inside)
        if len(elements) > 1:
            return Parts(tuple(elements), opening, closing)
        if closing == PAIRS[opening] and opening != "[" and inside != EMPTY:
            return split(inside) if inside.strip() else Parts((text,))  # (3) and \{3\} are 3
        return Parts((text,))
    # x < 1 or x > 2 is a union, and x > 1, x < 2 an intersection; x = 1 or x = 2 are two numbers, as x = 1, x = 2.
    return Parts(tuple(_elements(text)), union=OR in text and INEQUALITY.search(text) is not None)


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


def spread(text: str) -> str:
    """Return `x=1,x=2` for `x=1,2`, and `x=1,y=2` for `(x,y)=(1,2)`."""
    first, *rest = _elements(text)
    match = ASSIGNED.fullmatch(first)
    if match and match["name"].startswith("(") and not rest:
        names, values = match["name"][1:-1].split(","), split(match["value"])
        paired = values.ordered and len(names) == len(values.elements)
        return ",".join(map("=".join, zip(names, values.elements, strict=True))) if paired else text
    if match is None or not rest or any(is_relation(element) for element in (match["value"], *rest)):
        return text
    return ",".join([first, *(f"{match['name']}={element}" for element in rest)])


def unassigned(given: str, gold: str) -> tuple[str, str]:
    """Return both texts; where one is `x = 3`, or `x = 1, x = 2`, and the other is not a relation, the relation is
    replaced by 3, or 1, 2. Where both are such lists for one unknown in different forms, both are."""
    got, expected = _values(given), _values(gold)
    if got and expected:
        return (got.text, expected.text) if _lists_of_one(got, expected) else (given, gold)
    if not is_relation(gold):
        return (got.text if got else _as_tuple(given, gold) or given), gold
    if not is_relation(given):
        return given, (expected.text if expected else _as_tuple(gold, given) or gold)
    return given, gold


def _as_tuple(text: str, other: str) -> str | None:
    """Return (1,2) for `x=1,y=2`, where the other side is a tuple in round brackets."""
    matches = [match for match in map(ASSIGNED.fullmatch, _elements(text)) if match]
    names, parts = [match["name"] for match in matches], split(other)
    if len(names) < 2 or len(names) != len(_elements(text)) or parts.opening != "(" or names != sorted(set(names)):
        return None
    return f"({','.join(match['value'] for match in matches)})"


@dataclass(frozen=True)
class _Values:
    """The right sides of equations for one unknown, which may have indices: x_1 = 1, x_2 = 2."""

    unknown: str
    names: tuple[str, ...]
    text: str


def _lists_of_one(got: _Values, expected: _Values) -> bool:
    """Return whether both give several values of one unknown; which is the first is said where both have indices."""
    several = any(len(values.names) > 1 or values.text.startswith("\\{") for values in (got, expected))
    indexed = all("_" in values.names[0] for values in (got, expected))
    return several and not indexed and got.unknown == expected.unknown


def _values(text: str) -> _Values | None:
    matches = [match for match in map(ASSIGNED.fullmatch, _elements(text)) if match]
    unknowns = {match[2] or match["name"] for match in matches}
    if len(matches) < len(_elements(text)) or len(unknowns) != 1 or any(is_relation(m["value"]) for m in matches):
        return None
    return _Values(unknowns.pop(), tuple(m["name"] for m in matches), ";".join(m["value"] for m in matches))


def is_share(text: str) -> bool:
    """Return whether a text as it was written holds a percentage."""
    return "%" in text or PER_CENT.search(text) is not None


def same_form(given: Parts, gold: Parts) -> bool:
    """Return whether elements can be paired at all. A bare list may stand for a set, or for a pair in the same order;
    an interval is only met by its own brackets."""
    if len(given.elements) != len(gold.elements) or given.union != gold.union:
        return False
    brackets = [(parts.opening, parts.closing) for parts in (given, gold)]
    if len(gold.elements) == 1 or given.union or brackets[0] == brackets[1]:
        return True
    if any("\\infty" in element for element in (*given.elements, *gold.elements)):
        return False
    loose = {("", ""), ("\\{", "\\}")} | ({("[", "]")} if len(gold.elements) > 2 else set())
    if gold.ordered:
        return given.opening == "" and brackets[1] in loose | {("(", ")")}
    return brackets[0] in loose or (gold.opening == "" and brackets[0] == ("(", ")"))


def both_signs(given: Parts, gold: Parts) -> tuple[Parts, Parts]:
    r"""Return both with \pm 2 written as 2, -2, unless only that makes their lengths differ."""
    wide = [_widened(parts) for parts in (given, gold)]
    return (wide[0], wide[1]) if len(wide[0].elements) == len(wide[1].elements) else (given, gold)


def _widened(parts: Parts) -> Parts:
    if parts.ordered or parts.union:
        return parts
    elements = tuple(value for element in parts.elements for value in _alternatives(element))
    return Parts(elements, parts.opening, parts.closing)


def _alternatives(element: str) -> tuple[str, ...]:
    r"""Return both values of an element with \pm, and the one of any other."""
    if element.count("\\pm") != 1 or "\\mp" in element:
        return (element,)
    before, _, after = element.partition("\\pm")
    return (f"{before}{'' if not before else '+'}{after.lstrip()}", f"{before}-{after.lstrip()}")


def _elements(text: str) -> list[str]:
    elements = [part.strip() for part in at_top(text, ",", ";", OR)]
    return elements if all(elements) else [text]


def at_top(text: str, *separators: str) -> list[str]:
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
