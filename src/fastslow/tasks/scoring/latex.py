r"""Decide which LaTeX math-verify is asked about: what math-verify and SymPy settle in a moment.

A model's answer goes to a parser and a computer algebra system, which `9^{9^{9}}`, `10^9!` or forty nested roots keep
busy for ever. So the text is first checked in one pass: only known commands, bounded length, depth and powers. A text
that fails is wrong by its form and not by its value, and feedback says so.
"""

from __future__ import annotations

import re

MAX_CHARS = 160  # of an answer; the right ones of Polaris are a few dozen characters long
MAX_TOKENS = 60
MAX_DEPTH = 4  # brackets and braces inside one another
MAX_DIGITS = 40
MAX_POWER = 3_000  # of a number: with MAX_DIGITS some hundred thousand digits, computed in a millisecond
MAX_SYMBOLIC_POWER = 30  # of anything with a letter in it: expanding it costs with the power
MAX_FACTORIAL = 50
MAX_ELEMENTS = 12  # between commas, or cells of a matrix
MAX_ROOTS = 4
MAX_FUNCTIONS = 2

FUNCTIONS = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "exp"}
)
GREEK = frozenset(
    {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "rho"}
    | {"sigma", "tau", "phi", "varphi", "chi", "psi", "omega"}
)
COMMANDS = (
    FUNCTIONS
    | GREEK
    | {"frac", "dfrac", "tfrac", "sqrt", "pi", "infty", "cdot", "times", "div", "pm", "mp", "binom", "dbinom"}
    | {"left", "right", "text", "mathrm", "textbf", "mathbf", "operatorname", "displaystyle", "quad", "qquad"}
    | {
        "leq",
        "le",
        "geq",
        "ge",
        "neq",
        "ne",
        "lt",
        "gt",
        "in",
        "cup",
        "cap",
        "setminus",
        "emptyset",
        "varnothing",
        "mathbb",
    }
    | {"circ", "degree", "angle", "begin", "end", "mid", "lfloor", "rfloor", "lceil", "rceil"}
)
ENVIRONMENTS = frozenset({"matrix", "pmatrix", "bmatrix", "vmatrix", "array", "cases"})

TOKEN = re.compile(r"\\[A-Za-z]++|\\.|[0-9]++|[A-Za-z]++|\s++|.", re.DOTALL)
NUMBER_IN_WORDS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|operatorname)\s*\{[^{}]*[0-9]")
BASE = re.compile(r"[0-9)]\s?_")
ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{([^{}]*)\}")
FACTORIAL = re.compile(r"([0-9]*)\s*(!+)")
BINOM = re.compile(r"\\d?binom(?!\s*\{\s*[0-9]{1,2}\s*\}\s*\{\s*[0-9]{1,2}\s*\})")
# Without braces LaTeX raises one digit, and math-verify more of them: what may be the exponent is taken for it.
EXPONENT = re.compile(r"\^\s*(?:\{([^{}^]*)\}|([0-9]++|[A-Za-z*\u2032'])|\{?\s*(\\[A-Za-z]++)\s*\}?)\s*")
FRACTION_EXPONENT = re.compile(r"\^\s*\{\s*-?\s*\\[dt]?frac\s*\{[^{}^]{1,20}\}\s*\{[^{}^]{1,20}\}\s*\}")
OPENING, CLOSING = "([{", ")]}"


def objection(text: str) -> str | None:
    """Return why this answer is not computed with, worded to follow the answer itself; None where it may be."""
    if len(text) > MAX_CHARS:
        return f"is longer than {MAX_CHARS} characters"
    tokens = TOKEN.findall(text)
    return (
        _unknown(text)
        or _too_large(text, tokens)
        or (
            None
            if _balanced(tokens)
            else f"has brackets that do not match, or more than {MAX_DEPTH} inside one another"
        )
        or (None if _powers_bounded(text) else "has powers too high to compute with")
    )


def comparable_relation(given: str, gold: str) -> bool:
    """Return whether SymPy may be asked to solve `given`: with functions or powers that the gold lacks, it is another
    equation, which can take SymPy minutes."""
    functions = [set(re.findall(r"[a-z]+", text)) & (FUNCTIONS | {"sqrt"}) for text in (given, gold)]
    powers = [max(map(int, re.findall(r"\^\{?([0-9]{1,4})", text)), default=2) for text in (given, gold)]
    return functions[0] <= functions[1] and powers[0] <= max(2, powers[1])


def unknown_command(text: str) -> str | None:
    """Return the first command that is not read: math-verify may take it for another, such as \\Delta for \\delta."""
    commands = (token for token in TOKEN.findall(text) if token[0] == "\\" and token[1:].isalpha())
    return next((command for command in commands if command[1:] not in COMMANDS), None)


def _unknown(text: str) -> str | None:
    command = unknown_command(text)
    if command:
        return f"has the command {command}, which is not read"
    if not text.isascii() and re.search(r"[^\x00-\x7f°Ω∨]", text):
        return "has characters that are not read"
    if ".." in text:
        return "has dots in the place of something"
    if NUMBER_IN_WORDS.search(text):
        return "has a number among words"  # math-verify takes words for a unit: 12\text{ or 13} would be 12
    if BASE.search(text):
        return "has a number base inside a formula"
    if any(name.strip("* ") not in ENVIRONMENTS for name in ENVIRONMENT.findall(text)):
        return "has an environment that is not read"
    return None


def _too_large(text: str, tokens: list[str]) -> str | None:
    if len(tokens) > MAX_TOKENS:
        return "is too long to compute with"
    if any(token.isdigit() and len(token) > MAX_DIGITS for token in tokens):
        return f"has a number of more than {MAX_DIGITS} digits"
    if any(len(marks) > 1 or not digits or int(digits) > MAX_FACTORIAL for digits, marks in FACTORIAL.findall(text)):
        return f"has a factorial of something else than a whole number up to {MAX_FACTORIAL}"
    if BINOM.search(text):
        return "has a binomial of something else than two small whole numbers"
    if text.count(",") + text.count(";") + text.count("&") + text.count("\\\\") >= MAX_ELEMENTS:
        return f"has more than {MAX_ELEMENTS} elements"
    if tokens.count("\\sqrt") + tokens.count("√") > MAX_ROOTS:
        return f"has more than {MAX_ROOTS} roots"
    if sum(token.lstrip("\\") in FUNCTIONS for token in tokens) > MAX_FUNCTIONS:
        return f"has more than {MAX_FUNCTIONS} functions"
    return None


def _balanced(tokens: list[str]) -> bool:
    r"""Return whether braces close in order; round and square brackets may be mixed, as in [0, 1). `\{` is a bracket of
    a set."""
    depth = 0
    for token in tokens:
        last = token[-1]
        if last in OPENING:
            depth += 1
        elif last in CLOSING:
            depth -= 1
        if not 0 <= depth <= MAX_DEPTH:
            return False
    return depth == 0


def _powers_bounded(text: str) -> bool:
    """Return whether no exponent contains another, and nested powers multiply to a bounded one."""
    symbolic = re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", text)) is not None
    most = MAX_SYMBOLIC_POWER if symbolic else MAX_POWER
    highest, product, at, end = 1, 1, 0, -1
    while (at := text.find("^", at)) >= 0:
        match = EXPONENT.match(text, at) or FRACTION_EXPONENT.match(text, at)
        if match is None or at == end or "!" in match.group() or text[match.end() : match.end() + 1] == "!":
            return False
        size = max((int(digits) for digits in re.findall(r"[0-9]{1,6}", match.group())), default=1)
        if text[:at].rstrip().endswith((")", "}", "]")):
            product *= size  # the content of the brackets may be a power already: those multiply
        else:
            highest = max(highest, size)
        at = end = match.end()
    return highest * product <= most
