"""Compare texts as a reader would."""

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
