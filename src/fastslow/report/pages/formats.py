"""How numbers are written for people. None is 'n/a' everywhere: a missing number is never written as 0."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastslow.core.texts import duration
from fastslow.metrics import Estimate

NOTHING = "n/a"
TOO_FEW = "too few seeds to tell"
WIDE = 10.0  # times: a ratio that may as well be above this, and a hundredth of its upper end, is not known


def decimal(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}".replace("-0.00", "0.00")


def signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f}".replace("-0.00", "+0.00")


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def times(ratio: float) -> str:
    return "infinitely" if math.isinf(ratio) else f"{ratio:.1f}x"


def within(shown: str, interval: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    """Append the interval over seeds in brackets, where there is one; "not reached" in every seed needs none."""
    if interval is None or interval[0] == math.inf:
        return shown
    return f"{shown} ({write(interval[0])} to {write(interval[1])})"


def too_wide(low: float, high: float) -> bool:
    """Return whether an interval of a ratio leaves everything open, as that of two seeds may."""
    return high > WIDE and high > WIDE**2 * low


def share_interval(interval: tuple[float, float] | None) -> str:
    """Write the interval of a share, as in 20.0% to 80.0%; '' without one."""
    if interval is None:
        return ""
    return TOO_FEW if too_wide(*interval) else f"{percent(interval[0])} to {percent(interval[1])}"


def share(value: float | None, interval: tuple[float, float] | None) -> str:
    """Write a share with its interval in brackets."""
    written = share_interval(interval)
    return f"{percent(value)} ({written})" if written else percent(value)


def difference(estimate: Estimate | None) -> str:
    """Write an estimated difference, as in +0.05 (-0.02 to +0.12)."""
    return NOTHING if estimate is None else within(signed(estimate.value), estimate.interval, signed)


def steps_to(value: float | None) -> str:
    return "not reached" if value is None or math.isinf(value) else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    return NOTHING if value is None else duration(value)


def seeds(n: int) -> str:
    return f"{n} seed" if n == 1 else f"{n} seeds"
