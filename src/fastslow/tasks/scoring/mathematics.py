r"""Scorer `boxed`: the last `\boxed{...}`, compared as mathematics by math-verify.

Cheap and certain comparisons come first: equal text, two plain numbers, another number of elements, values that
differ at some place. What is left goes to math-verify, element by element, as its parser takes tens of milliseconds
for a pair; after `latex.objection` has let it through, and under `watch.within`.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastslow.tasks.scoring import equations, exact, latex, measures, numbers, structure, watch
from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.exact import Read
from fastslow.tasks.scoring.extract import boxed, is_blank, stands_alone, tail

T = TypeVar("T")
SECONDS = 0.5  # of processor time. What `latex` lets through needs a hundredth of it on average, see docs/scorers.md

SET_OPERATION = re.compile(r"\\(?:setminus|cap)(?![A-Za-z])")
ALL_NUMBERS = "\\mathbb{R}"
NO_SYMBOLS = re.compile(r"\\mathbb\s*\{[A-Z]\}|\\(?:text|mathrm|textbf|mathbf)\s*\{[^{}]*\}|\\[A-Za-z]+")
IN_WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s,.'-]+[^\W\d_]+)*")
# Letters beside each other are a product for math-verify, and then "on" is "no", and ACB is ABC.
AS_WORDS = re.compile(r"(?i:no|on|up|in|[a-z]{3,})(?:[\s,.'-]+[^\W\d_]+)*")
LONG_WORD = re.compile(r"(?i:[a-z][a-z]*[aeiou][a-z]*)(?<=....)")
SHORT_WORDS = frozenset({"yes", "no", "odd", "all", "any", "one", "two", "six", "ten", "red", "on", "up", "in"})
OPTION = re.compile(r"\\text(?:bf|rm)?\s?\{\s?\(?([A-J])\)?\s?\}|\(([A-J])\)")
# Two numbers beside each other, a factor of one behind a bracket, a number with a prime: math-verify makes a product of
# the former and leaves out the latter.
UNJOINED = re.compile(r"[0-9] [0-9]|\A[^'\"]*[0-9)}]['\"]|(?:\)|\\(?:sqrt|frac\{[^{}]*\})\{[^{}]*\})1(?![0-9.,/^!])")
SYMBOL = re.compile(r"[A-Za-df-hj-z]")  # all but e and i

_lock = threading.RLock()  # antlr's tables and SymPy's assumptions are shared between threads


@SCORERS.register("boxed")
class Boxed(PlainScorer):
    r"""Compare the mathematics in the last `\boxed{...}` by value: 1/2, 0.5 and \frac{1}{2} are one answer."""

    def judge(self, completion: str, gold: str) -> Judgement:
        text = tail(completion)
        if is_blank(text):
            return no_answer("the completion is empty")
        given = boxed(text)
        if given is None:
            half = "a \\boxed{ is opened but never closed" if "\\boxed" in text else "there is no \\boxed{...}"
            return no_answer(half)
        if is_blank(given):
            return no_answer("the box is empty")
        if not stands_alone(text):
            return unparsable(given, "is a part of a formula that goes on outside the box")
        return _compare(given, _content(gold))

    def completion(self, gold: str) -> str:
        return f"\\boxed{{{_content(gold)}}}"

    def objection(self, gold: str) -> str | None:
        content = _content(gold)
        if is_blank(content):
            return "is empty"
        return None if boxed(f"\\boxed{{{content}}}") == content.strip() else "has braces that do not match"

    def shown(self, gold: str) -> str:
        return super().shown(_content(gold))

    def literal(self, gold: str) -> str | None:
        plain = structure.plain(_content(gold))
        plain = next((side.text for side in equations.values(plain)), plain)
        if _is_number(plain):
            return None
        if IN_WORDS.fullmatch(plain):
            return "is in words"
        problem = latex.objection(plain)
        if problem:
            return problem
        try:
            with _lock:
                elements = structure.split(structure.unassigned(plain, "")[0]).elements
                read = all(_is_number(element) or _read(element) is not None for element in elements)
        except TimeoutError as error:
            return str(error)
        return None if read else "cannot be read as mathematics"


def _content(gold: str) -> str:
    """Return the gold without its box, if it has one; some data sets keep the box, others do not."""
    content = boxed(gold)
    return gold.strip() if content is None else content


def _compare(given: str, gold: str) -> Judgement:
    plain, right = structure.plain(given), structure.plain(gold)
    if measures.magnified(given) and not measures.magnified(gold):
        return wrong(given)
    if plain == right or _same(right, plain) or _same_share(given, plain, gold, right) or _same_option(plain, gold):
        return RIGHT
    if AS_WORDS.fullmatch(right):
        return RIGHT if _same_words(given, plain, gold, right) else wrong(given)
    plain, right = measures.cased(plain, right)
    stated = _compare_stated(given, plain, right)
    if stated is not None:
        return stated
    problem = latex.objection(plain)
    if problem:
        return unparsable(given, problem)
    plain, right = structure.unassigned(structure.spread(plain), structure.spread(right))
    left, wanted = structure.split(plain), structure.split(right)
    if _is_number(right):
        wanted = structure.Parts((right,))  # 100,200 is a number
    left, wanted = structure.both_signs(left, wanted)
    if SET_OPERATION.search(plain) or SET_OPERATION.search(right) or ALL_NUMBERS in (plain, right):
        left, wanted = structure.Parts((plain,)), structure.Parts((right,))
    elif structure.is_relation(right) and (left.union or left.ordered) and not _holds_symbols(plain):
        if not (wanted.union and len(wanted.elements) == len(left.elements)):
            # x > 3 and (3, \infty) say the same
            left, wanted = structure.Parts((plain,)), structure.Parts((right,))
    elif structure.is_relation(right) != structure.is_relation(plain) or not structure.same_form(left, wanted):
        return wrong(given, f"It has the form of {structure.form(plain)}, the right answer of {structure.form(right)}.")
    try:
        with _lock:
            return _compare_elements(given, left, wanted)
    except TimeoutError as error:
        return Judgement("unscored", f"comparing '{given[:100]}' with the right answer {error}")


def _compare_stated(given: str, plain: str, right: str) -> Judgement | None:
    """Compare the values that an equation states, where the other side is a value; None where neither is so."""
    if structure.is_relation(right):
        sides = () if structure.is_relation(plain) else equations.values(right)
        return _first_wrong(given, (_compare(plain, side.text) for side in sides if not side.rounded))
    sides = equations.values(plain)
    exactly = [side.text for side in sides if not side.rounded] or [side.text for side in sides]
    judgement = _first_wrong(given, (_compare(text, right) for text in exactly))
    if judgement is RIGHT and not all(_is_near(side.text, right) for side in sides if side.text not in exactly):
        return wrong(given)
    return judgement


def _first_wrong(given: str, judgements: Iterable[Judgement]) -> Judgement | None:
    """Return the first judgement that is not right, of the whole that was given; RIGHT where all are, and None where
    there are none."""
    found = None
    for found in judgements:
        if not found.right:
            return wrong(given) if found.defect == "wrong value" else found
    return found


def _is_near(given: str, gold: str) -> bool:
    """Return whether one text may be a rounding of the other."""
    if latex.objection(given) or latex.objection(gold):
        return False
    try:
        with _lock:
            right, rounded = _read(gold), _read(given)
            return bool(right and rounded and _limited(lambda: exact.near(right, rounded)))
    except TimeoutError:
        return False


def _compare_elements(given: str, left: structure.Parts, wanted: structure.Parts) -> Judgement:
    unused = list(left.elements)
    ordered = wanted.ordered or left.ordered
    for gold in wanted.elements:
        for element in unused[:1] if ordered else unused:
            if _equal(gold, element):
                unused.remove(element)
                break
        else:
            unread = next((e for e in unused if not _is_readable(e, gold)), None)
            return wrong(given) if unread is None else unparsable(given, "cannot be read as mathematics")
    return RIGHT


def _same(gold: str, given: str) -> bool | None:
    """Return whether two plain texts are the same number, or None where one of them is no number.

    A unit counts where both have one, and a base other than ten must be the same.
    """
    if ":" in gold or ":" in given:
        return measures.same_ratio(gold, given)
    gold, unit = measures.without_unit(gold)
    given, given_unit = measures.without_unit(given)
    if unit and given_unit and unit != given_unit:
        return False
    bases = [measures.based(text) for text in (gold, given)]
    if any(bases):
        if all(bases):
            return bases[0] == bases[1]
        based, other = (bases[0], given) if bases[0] else (bases[1], gold)
        number = numbers.parse(other)
        return based is not None and based.base == 10 and number is not None and number.value == based.value
    expected, got = numbers.parse(gold), numbers.parse(given)
    if expected is None or got is None:
        return True if gold == given else None
    return numbers.agree(got, expected)


def _is_number(plain: str) -> bool:
    """Return whether a text is a number, with a unit or a base or without."""
    bare, _ = measures.without_unit(plain)
    return numbers.parse(bare) is not None or measures.based(bare) is not None


def _same_share(given: str, plain: str, gold: str, right: str) -> bool:
    """Return whether 0.5 stands for 50%, or 50% for 0.5; that 50 stands for 50% is settled before."""
    shares = structure.is_share(given), structure.is_share(gold)
    got, expected = numbers.parse(plain), numbers.parse(right)
    if shares[0] == shares[1] or got is None or expected is None:
        return False
    if shares[0]:
        return numbers.agree(numbers.Quantity(got.value / 100, got.decimal), expected)
    return numbers.agree(got, numbers.Quantity(expected.value / 100, expected.decimal))


def _same_option(plain: str, gold: str) -> bool:
    r"""Return whether (b) is the option \text{B}; a bare B is a symbol, and b another."""
    option = OPTION.fullmatch(gold.strip())
    return option is not None and plain.strip("()").casefold() == (option[1] or option[2]).casefold()


def _same_words(given: str, plain: str, gold: str, right: str) -> bool:
    """Return whether two answers in words are the same. Case counts where letters may be symbols: ABC is not abc."""
    if plain.casefold() != right.casefold():
        return False
    return plain == right or "\\" in given + gold or right.casefold() in SHORT_WORDS or bool(LONG_WORD.search(right))


def _equal(gold: str, given: str) -> bool:
    same = True if gold == given else _same(gold, given)
    if same is not None:
        return same
    if UNJOINED.search(given):
        return False
    if gold.count(":") > 1 or given.count(":") > 1:
        terms = [text.split(":") for text in (gold, given)]
        return len(terms[0]) == len(terms[1]) and all(map(_equal, *terms))
    if _holds_symbols(given) and not _holds_symbols(gold):
        return False
    if measures.other_words(given) != measures.other_words(gold):
        return False
    pairs = structure.split(given), structure.split(gold)
    if len(pairs[0].elements) > 1 and structure.same_form(*pairs):  # a pair in a set, an interval in a union
        return _compare_elements(given, *pairs).right
    equations = [structure.ASSIGNED.fullmatch(text) for text in (gold, given)]
    if equations[0] and equations[1] and equations[0]["name"] == equations[1]["name"]:
        values = [match["value"] for match in equations if match]
        if not any(map(structure.is_relation, values)):
            return _equal(*values)
    if latex.unknown_command(gold):
        return False
    if structure.is_relation(given) and not latex.comparable_relation(given, gold):
        return False
    right, parsed = _read(gold), _read(given)
    if right is None or parsed is None:
        return False
    numeric = _limited(lambda: exact.same_number(right, parsed))
    if numeric is not None:
        return numeric
    if exact.far_apart(right, parsed):
        return False
    if structure.is_relation(gold) and structure.is_relation(given) and right.symbols != parsed.symbols:
        return False
    return bool(_verified(right, parsed))


def _verified(right: Read, parsed: Read) -> bool | None:
    _, verify, _ = _math_verify()
    # SymPy may take long to prove equality of what agrees at three places; the proof rarely fails. By default it would
    # compare six decimals, and take what is below 1e-15 for nothing.
    digits = max(right.digits, parsed.digits)
    return _limited(
        lambda: verify(right.value, parsed.value, float_rounding=digits, numeric_precision=digits, timeout_seconds=0)
    )


def _is_readable(given: str, gold: str) -> bool:
    if _is_number(given) or (_holds_symbols(given) and not _holds_symbols(gold)):
        return True
    return _read(given) is not None


def _holds_symbols(plain: str) -> bool:
    """Return a letter that is not a unit or constant: where a number is asked for, an answer with such a letter is not
    one."""
    return SYMBOL.search(NO_SYMBOLS.sub("", plain)) is not None


def _limited(call: Callable[[], T]) -> T | None:
    """Return None where the call raises: antlr and SymPy do, in many ways, on texts that only look like mathematics."""
    try:
        return watch.within(SECONDS, call)
    except TimeoutError:
        raise
    except Exception:
        return None


@functools.lru_cache(maxsize=4096)
def _read(plain: str) -> Read | None:
    parse, _, config = _math_verify()  # here and not under the limit: the first call fills tables for a second
    return _limited(lambda: _parse(plain, parse, config))


def _parse(plain: str, parse: Callable[..., Any], config: list[Any]) -> Read | None:
    parsed = parse(
        f"\\boxed{{{plain.replace(structure.OR, ' or ')}}}", config, fallback_mode="no_fallback", parsing_timeout=0
    )
    return exact.read(parsed[0]) if parsed else None


@functools.cache
def _math_verify() -> tuple[Callable[..., Any], Callable[..., Any], list[Any]]:
    """Return math-verify's two functions and what to look for, once its parser's tables are filled.

    Imported here, because that takes half a second, and so do the first formulas, which the first rollout would
    otherwise pay for.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    # It logs at every start that its own timeouts are off, which is intended.
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
    config = [LatexExtractionConfig(boxed_match_priority=0)]
    for formula in WARM_UP:
        parse(f"\\boxed{{{formula}}}", config, parsing_timeout=0)
    for right, given in WARM_UP_PAIRS:  # SymPy loads what it compares sets and matrices with at the first of them
        gold, said = (parse(f"\\boxed{{{formula}}}", config, parsing_timeout=0) for formula in (right, given))
        verify(gold, said, timeout_seconds=0)
    return parse, verify, config


WARM_UP_PAIRS = (
    ("x > -9", r"(-9, \infty)"),
    (r"[-3,\frac{1}{2})\cup(1,2]", r"(1,2]\cup[-3,0.5)"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}"),
)
WARM_UP = (
    *(r"\frac{1}{2}", r"\frac{\sqrt{3}}{2}", r"x^2+2x+1", r"(x+1)^2", r"2\pi", r"\infty", r"x=3", r"x>3", r"-2.5"),
    *(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\sin(\frac{\pi}{3})", r"e^{i\pi}", r"-\frac{n(n+1)}{2}", r"1<x\leq2"),
    *(
        r"\log_2{3}",
        r"5!",
        r"\binom{4}{2}",
        r"|x|",
        r"3\cdot4\times5",
        r"\frac{1+\sqrt{5}}{2}+1",
        r"\sqrt[3]{2}",
        r"2^{n}",
    ),
    *(r"\sqrt{2+\sqrt{3}}", r"(\ln(2)+1)^{2}", r"|\sin(x)|^{2}", r"\frac{(a+b)^{2}}{\ln(3)}", r"y=\frac{(x)}{|2|}"),
    *(
        r"2(x)^{3}(y+1)",
        r"\sin(|2|)\cos(1)",
        r"e^{2}<\frac{\ln{3}}{2^{-1}}",
        r"((\sin(2)))^{3}",
        r"1^{-1}",
        r"a_{1}+x_2",
    ),
)
