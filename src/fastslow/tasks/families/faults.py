"""Collect what is wrong with the rows of a source, so that one refusal names all of them."""

from __future__ import annotations

from fastslow.core.errors import BadInput

SHOWN = 10
"""Rows that a refusal names; the others are counted."""
WORDS = 80
"""Characters of what is wrong with a further row."""


class BadRow(Exception):
    """Raised for a row that cannot be used: its number, what is wrong with it, and the end of the sentence, which says
    how to mend it (it brings its own punctuation). `rows` names the rows concerned where that is not this one alone."""

    def __init__(self, number: int, what: str, mend: str, rows: str = ""):
        super().__init__(f"{rows or number} {what}{mend}")
        self.number, self.what, self.mend, self.rows = number, what, mend, rows


class Faults:
    """Hold the wrong rows of one source.

    Args:
        task: name of the task.
        place: the source's word for a row ("line", "row").
        numbering: a sentence on how rows are counted, where that is not plain; "" for none.
    """

    def __init__(self, task: str, place: str, numbering: str = ""):
        self._task, self._place, self._numbering = task, place, numbering
        self._found: list[BadRow] = []
        self._count = 0

    def add(self, fault: BadRow) -> None:
        """Add a row. No more than will be named are kept: a file may be wrong in every one of millions of rows."""
        self._count += 1
        if len(self._found) < SHOWN:
            fault.__traceback__ = None  # which would hold the frames of the reader
            self._found.append(fault)

    def refuse(self) -> None:
        """Raise BadInput in one line if there are any: the first in full, the others by number and fault."""
        if not self._found:
            return
        first = self._found[0]
        said = f"{first.rows or f'{self._place} {first.number}'} {first.what}{first.mend}"
        parts = [said, self._others(), self._numbering]
        raise BadInput(f"task '{self._task}': " + " ".join(filter(None, parts)))

    def _others(self) -> str:
        first, *others = self._found
        if not others:
            return ""
        places = [str(first.number)]
        for fault in others:
            what = fault.what if len(fault.what) <= WORDS else fault.what[:WORDS] + "..."
            places.append(f"{fault.number} ({what})" if fault.what != first.what else str(fault.number))
        more = self._count - len(places)
        listed = ", ".join(places) + (f" and {more} more" if more else "")
        return f"In all, {self._count} {self._place}s cannot be used: {listed}."


def one_line(error: Exception) -> str:
    """Return the kind and the beginning of the text of an error of another library, in one line."""
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:200]
