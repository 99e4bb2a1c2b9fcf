"""Screen completions before reasoning-gym's scorers see them (written for release 0.1.25).

Some of those scorers hand the completion to Python's `eval` or to sympy's `parse_expr`, which evaluates it with the
built-in functions in reach: a sampled text could delete files, or compute 9**9**9 for ever. Some raise on ordinary
nonsense. A few give full marks to texts that answer nothing, which reinforcement learning would exploit.

The tables below name these scorers; `admits` is asked before the scorer sees a text, and `deadline` bounds its time. A
generator that is in no table is scored by reasoning-gym alone, under the common length limit.
"""

from __future__ import annotations

import ast
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy  # otherwise imported where it is used: it takes half a second

MAX_CHARS = 20_000  # characters of a completion; the longest default gold answer has about 5,000
SCORING_SECONDS = 5.0

EVALUATES_LITERALS = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
EVALUATES_SYMPY = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"}
)
# sympy's work grows with the expression, the propositional parser's with the square of the text.
SHORTER: Mapping[str, int] = {"propositional_logic": 300, **dict.fromkeys(EVALUATES_SYMPY, 2_000)}

RAISES_WHEN_MALFORMED: Mapping[str, tuple[type[Exception], ...]] = {
    "boxnet": (AttributeError, IndexError, KeyError, TypeError),
    "game_of_life": (KeyError, TypeError),
    "prime_factorization": (ValueError,),
    "propositional_logic": (RecursionError,),
}
"""Scorers that parse carelessly: such an exception means a malformed answer (reward 0), not a broken scorer."""

NUMBERS_ONLY = frozenset({"countdown", "puzzle24"})

LITERAL_NODES = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Load, ast.UnaryOp, ast.USub)
ARITHMETIC_NODES = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.BinOp, ast.UnaryOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.UAdd, ast.USub),
)
# Integral is left out on purpose: sympy writes it where it cannot integrate, and differentiating it "proves" anything.
ELEMENTARY = frozenset(
    {"Abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "cot", "csc", "erf", "exp"}
    | {"ln", "log", "sec", "sin", "sinh", "sqrt", "tan", "tanh"}
)
# These bound what sympy may be made to compute: no number grows past some hundred thousand digits.
MAX_NODES = 400
MAX_LITERAL = 10**40
MAX_EXPONENT = 100
MAX_POWER_DEPTH = 2  # (x**2 + 1)**3, square roots counted as powers
MAX_CALL_DEPTH = 1  # exp(exp(exp(x))) evaluated at a number would need as many bits as the number is large


def admits(generator: str, completion: str, entry: Mapping[str, Any]) -> bool:
    """Return whether this generator's scorer may see the stripped `completion`. If not, the completion is a wrong
    answer."""
    gold = entry["answer"] or ""
    if completion == gold.strip():
        return True
    if len(completion) > max(SHORTER.get(generator, MAX_CHARS), 4 * len(gold)):
        return False
    if generator in EVALUATES_LITERALS:
        return _is_harmless_literal(completion)
    if generator in EVALUATES_SYMPY and not _is_bounded_arithmetic(completion, gold, generator in NUMBERS_ONLY):
        return False
    closes = CLOSES.get(generator)
    return closes is None or closes(completion, entry)


def _parse(text: str) -> ast.Expression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return ast.parse(text, mode="eval")


def _is_harmless_literal(text: str) -> bool:
    """Accept numbers, strings and lists of them, and text that is not Python at all, which `eval` will refuse."""
    try:
        tree = _parse(text)
    except (SyntaxError, ValueError):
        return True
    except (MemoryError, RecursionError):
        return False
    return all(isinstance(node, LITERAL_NODES) for node in ast.walk(tree))


def _is_bounded_arithmetic(text: str, gold: str, numbers_only: bool) -> bool:
    """Accept an expression in numbers, symbols and elementary functions whose value sympy can compute in a moment."""
    if re.search(r"\d\.?[eE][+-]?\d", text):
        return False  # sympy keeps 1e-999999999, which Python's parser shows as 0.0
    try:
        tree = _parse(text)
        most = max(MAX_NODES, 2 * sum(1 for _ in ast.walk(_parse(gold.strip()))))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False  # also what only sympy can read, such as 99999999!
    nodes = list(ast.walk(tree))
    if len(nodes) > most or not all(map(_is_plain, nodes)):
        return False
    if numbers_only and any(isinstance(node, ast.Name) for node in nodes):
        return False
    return _depth(tree, _is_power) <= MAX_POWER_DEPTH and _depth(tree, _is_function) <= MAX_CALL_DEPTH


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return _is_literal(node, (int, float), MAX_LITERAL)
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in ELEMENTARY
        return known and len(node.args) in (1, 2) and not node.keywords
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _is_exponent(node.right)
    return isinstance(node, ARITHMETIC_NODES)


def _is_exponent(node: ast.expr) -> bool:
    """Accept a small literal, a ratio of two, or the negative of either: 3, -1, 3/2. No deeper: 100/(1/100) is not
    small."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    parts = [node.left, node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) else [node]
    if len(parts) == 1:
        return _is_literal(node, (int, float), MAX_EXPONENT)
    return all(_is_literal(part, (int,), MAX_EXPONENT) for part in parts)


def _is_literal(node: ast.expr, kinds: tuple[type, ...], most: int) -> bool:
    """Accept a number, but not True or 3j; a literal has no sign."""
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, int | float) and type(value) in kinds and value <= most


def _is_power(node: ast.AST) -> bool:
    return (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)) or _called(node) == "sqrt"


def _is_function(node: ast.AST) -> bool:
    return _called(node) not in (None, "sqrt")


def _called(node: ast.AST) -> str | None:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _depth(node: ast.AST, counts: Callable[[ast.AST], bool]) -> int:
    """Return how many nodes of the counted kinds are nested."""
    return counts(node) + max((_depth(child, counts) for child in ast.iter_child_nodes(node)), default=0)


def _coin_flip(completion: str, entry: Mapping[str, Any]) -> bool:
    """Require an exact answer: the scorer compares prefixes, so that "0" gets full marks for 0.234."""
    text = completion.replace(",", "")
    if not re.fullmatch(r"[+-]?\d{0,30}(\.\d{1,30})?(/0*[1-9]\d{0,30})?", text) or not re.search(r"\d", text):
        return False
    number, _, divisor = text.partition("/")
    return abs(Fraction(number) / int(divisor or 1) - Fraction(entry["answer"])) <= Fraction(1, 10_000)


def _complex_arithmetic(completion: str, entry: Mapping[str, Any]) -> bool:
    """Refuse NaN: the scorer takes the smaller of 1 and a function of the distance, which is 1 for NaN."""
    return "nan" not in completion.lower()


def _game_of_life_halting(completion: str, entry: Mapping[str, Any]) -> bool:
    """Refuse every text but the right kind: the scorer compares truth values of two texts, so that every text is
    right."""
    return completion.lower() == entry["answer"].lower()


def _puzzle24(completion: str, entry: Mapping[str, Any]) -> bool:
    """Require the given numbers: the scorer never compares them, so that one memorised solution solves every puzzle."""
    return sorted(map(int, re.findall(r"\d+", completion))) == sorted(entry["metadata"]["numbers"])


def _integration(completion: str, entry: Mapping[str, Any]) -> bool:
    """Refute a wrong antiderivative by numbers, because sympy may take minutes to simplify its difference.

    An answer whose derivative differs from the integrand wherever both are evaluated is wrong.
    """
    import sympy

    x = sympy.Symbol(entry["metadata"]["variable"])
    try:
        answer = sympy.parse_expr(completion, local_dict={x.name: x, "C": sympy.Symbol("C")})
        gap = sympy.diff(answer, x) - sympy.parse_expr(entry["metadata"]["integrand"], local_dict={x.name: x})
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        return False
    return not gap.free_symbols - {x} and any(_nearly_zero(gap, x, place) for place in (-1.7, -0.6, 0.3, 0.8, 2.1))


def _nearly_zero(gap: sympy.Expr, x: sympy.Symbol, place: float) -> bool:
    """Return True also where there is no value: then the scorer decides."""
    try:
        value = abs(complex(gap.evalf(subs={x: place})))  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return True
    return not value > 1e-6


CLOSES: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "coin_flip": _coin_flip,
    "complex_arithmetic": _complex_arithmetic,
    "game_of_life_halting": _game_of_life_halting,
    "intermediate_integration": _integration,
    "puzzle24": _puzzle24,
    "simple_integration": _integration,
}
"""Conditions that a right answer meets. Most close a way to full marks without an answer; the last one saves time."""


class Deadline:
    """Hold whether the time ran out; a flag, because scorers with a bare `except` swallow the exception."""

    passed = False


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Raise TimeoutError in the block after `seconds` of the process's own time: a machine that is busy with other
    things must not decide which answers can be scored.

    Only in the main thread of a Unix process, where a timer signal can interrupt Python code; elsewhere there is no
    limit, and `admits` alone bounds the cost.
    """
    state = Deadline()
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield state
        return

    def ring(_signal: int, _frame: Any) -> None:
        state.passed = True
        raise TimeoutError(f"scoring took longer than {seconds:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield state
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
