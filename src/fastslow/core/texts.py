"""Compare texts as a reader would, and write durations for one."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """Return the normal form of a text: equal for texts that differ in case, spaces, Unicode form or marks that show
    nothing.

    Compatibility forms are one (NFKC), so that `x²` is `x2`: equal normal forms say that two texts should be kept
    together, not that they mean the same.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    # Folding case can leave letters and marks apart again.
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def duration(seconds: float) -> str:
    """Write a duration, as in 12 s, 3.4 min, 1.6 h: two figures are enough to plan with."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
