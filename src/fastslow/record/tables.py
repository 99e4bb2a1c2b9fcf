"""Print a table so that no number of it is lost, however narrow the terminal is, and no row is broken in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

WIDEST = 100_000  # columns: more than any row has
FRAME = 3  # characters of padding and border that a column costs, and one more for the table


def print_table(console: Console, table: Table) -> None:
    """Print `table`; where a terminal is narrower than its words, print each row as one line instead.

    What is no terminal (a pipe, a file) gets the table as wide as its rows: a width there is a guess, and grep reads
    lines. Cells are texts. In a line for a row the columns before the first right-aligned one name the row.
    """
    if not console.is_terminal:
        _print_title(console, table)
        table.title = None  # a title wraps at the width of its table
        console.width = max(console.width, whole_width(console, table))
        console.print(table)
        return
    if least_width(table) <= console.width:
        console.print(table)
        return
    right = [column.justify == "right" for column in table.columns]
    first = right.index(True) if True in right else 1
    _print_title(console, table)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [str(cell) for cell in row]
        pairs = zip((str(column.header) for column in table.columns[first:]), cells[first:], strict=True)
        values = ", ".join(f"{heading} {cell}" for heading, cell in pairs if cell)
        console.print(f"{' '.join(filter(None, cells[:first]))}: {values}", highlight=False, soft_wrap=True)


def _print_title(console: Console, table: Table) -> None:
    if table.title:
        console.print(table.title, highlight=False, soft_wrap=True)


def whole_width(console: Console, table: Table) -> int:
    """Return the columns in which no row of the table takes more than one line."""
    return Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum


def least_width(table: Table) -> int:
    """Return the columns of a terminal in which no word of the table is cut."""
    return sum(_least(column) + FRAME for column in table.columns) + 1


def _least(column: Column) -> int:
    texts = [Text.from_markup(str(cell)).plain for cell in (column.header, *column.cells)]
    return max((len(part) for text in texts for part in (text.split() if not column.no_wrap else [text])), default=0)
