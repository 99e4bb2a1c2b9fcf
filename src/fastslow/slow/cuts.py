"""Cut the rows of a step into forwards: who shares a forward is padded to its longest row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def equal_shares(rows: Sequence[T], count: int) -> list[list[T]]:
    """Return `count` consecutive shares whose sizes differ by one at most."""
    return [list(rows[i * len(rows) // count : (i + 1) * len(rows) // count]) for i in range(count)]


def least_padded(lengths: Sequence[int], count: int, rows_at_most: int) -> list[int]:
    """Return the sizes of `count` consecutive shares of rows that together take the fewest padded tokens.

    No share takes more tokens than `rows_at_most` rows of the longest length would, so that a forward needs no more
    memory than one of equal shares. The cuts are the best there are, by dynamic programming over (shares, rows).

    Args:
        lengths: tokens of each row, in ascending order.
        count: number of shares, at least len(lengths) / rows_at_most; with fewer rows than shares some are empty.
        rows_at_most: most rows of the longest length in a share.
    """
    rows, used = len(lengths), min(count, len(lengths))
    if not rows:
        return [0] * count
    lengths_N = np.asarray(lengths, dtype=np.float64)
    first, last = np.arange(rows)[:, None], np.arange(rows)[None, :]
    # Tokens of a share from row `first` to row `last`, as rows are sorted: its size times its last row's length.
    tokens_N_N = np.where(first <= last, (last - first + 1) * lengths_N[None, :], np.inf)
    tokens_N_N[tokens_N_N > rows_at_most * lengths_N[-1]] = np.inf
    least_N = tokens_N_N[0].copy()
    starts: list[np.ndarray] = []
    for _ in range(used - 1):
        through_N_N = np.concatenate([[np.inf], least_N[:-1]])[:, None] + tokens_N_N
        starts.append(through_N_N.argmin(0))
        least_N = through_N_N.min(0)
    sizes, end = [], rows
    for start_N in reversed(starts):
        start = int(start_N[end - 1])
        sizes.append(end - start)
        end = start
    return [0] * (count - used) + [end, *reversed(sizes)]
