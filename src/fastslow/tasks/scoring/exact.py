"""Compare what math-verify has parsed, without the absolute limits of its own comparison.

math-verify rounds to six decimals, and takes a difference below 1e-15 for none: 1.6e-19 would be -1.6e-19. Here
decimals become exact fractions, and two numbers are compared with as many digits as the largest and smallest number in
them asks for, relative to the right one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from fastslow.tasks.scoring import numbers

SPARE_DIGITS = 40  # beyond those of the numbers in an expression
PLACES = 3  # where expressions with symbols are compared
ROUNDED = 0.05
FAR = 1e-6  # a relative difference that rounding does not explain


@dataclass(frozen=True)
class Read:
    """Hold what math-verify parsed, with exact fractions for its decimals; `decimal` tells that there were any."""

    value: Any
    decimal: bool

    @property
    def symbols(self) -> set[str]:
        return set(map(str, getattr(self.value, "free_symbols", ())))

    @cached_property
    def digits(self) -> int:
        """Decimal digits that tell this expression from any other that is built of numbers of its size."""
        from sympy import Rational

        atoms = self.value.atoms(Rational) if hasattr(self.value, "atoms") else ()
        bits = max((max(int(a.p).bit_length(), int(a.q).bit_length()) for a in atoms), default=1)
        return SPARE_DIGITS + 2 * int(bits * 0.302)

    @cached_property
    def at_places(self) -> tuple[complex, ...] | None:
        """The value where every symbol has its place; None without such a value."""
        from sympy import Expr

        if not isinstance(self.value, Expr):
            return None  # relations, sets, matrices
        value: Any = self.value  # sympy does not say that what is put into an Expr leaves one
        try:
            return tuple(
                complex(value.subs({name: _place(str(name), shift) for name in value.free_symbols}).evalf(20))
                for shift in range(PLACES)
            )
        except (TypeError, ValueError, ArithmeticError, AttributeError):
            return None


def read(value: Any) -> Read:
    """Return a parsed value with its decimals as exact fractions, and its arithmetic done."""
    from sympy import Expr, Float, Rational

    decimals = value.atoms(Float) if hasattr(value, "atoms") else ()
    if decimals:
        value = value.xreplace({number: Rational(str(number)) for number in decimals})
    return Read(value.doit() if isinstance(value, Expr) else value, bool(decimals))


def same_number(gold: Read, given: Read) -> bool | None:
    """Return whether two numbers are equal, or None for anything but two finite numbers.

    They may differ by a millionth of the right one where a decimal point shows that one of them may be rounded.
    """
    from sympy import Expr, Rational

    if not (isinstance(gold.value, Expr) and isinstance(given.value, Expr)) or gold.symbols or given.symbols:
        return None
    if isinstance(gold.value, Rational) and isinstance(given.value, Rational):
        right, got = (numbers.Quantity(Fraction(int(r.value.p), int(r.value.q)), r.decimal) for r in (gold, given))
        return numbers.agree(got, right)
    digits = max(gold.digits, given.digits)
    parts = [read.value.evalf(digits).as_real_imag() for read in (gold, given)]
    if not all(part.is_Float or part.is_Rational for pair in parts for part in pair):
        return None
    size = max(map(abs, parts[0]))
    if not size:
        return None
    noise = size / Rational(10) ** (digits - SPARE_DIGITS // 2)
    rounding = Rational(numbers.TOLERANCE) if gold.decimal or given.decimal else 0
    return all(abs(a - b) <= max(noise, rounding * abs(a)) for a, b in zip(*parts, strict=True))


def near(a: Read, b: Read) -> bool:
    """Return whether one number may be the rounding of the other, to two figures or more."""
    if a.at_places is None or b.at_places is None or a.symbols or b.symbols:
        return False
    return abs(a.at_places[0] - b.at_places[0]) <= ROUNDED * abs(a.at_places[0])


def far_apart(a: Read, b: Read) -> bool:
    """Return whether the values differ somewhere by more than rounding: then SymPy need not prove the difference."""
    if a.at_places is None or b.at_places is None:
        return False
    return any(abs(x - y) > FAR * max(abs(x), abs(y)) for x, y in zip(a.at_places, b.at_places, strict=True))


def _place(name: str, shift: int) -> Any:
    """Return a generic number, the same for the same symbol in every expression."""
    from sympy import Rational

    start: Any = Rational(3, 5)
    return start + shift + Rational(zlib.crc32(name.encode()) % 997, 1319)
