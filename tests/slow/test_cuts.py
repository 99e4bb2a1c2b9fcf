"""Rows are cut into forwards so that padding costs little and no forward needs more memory than before."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from fastslow.slow.cuts import equal_shares, least_padded


def padded(lengths: list[int], sizes: list[int]) -> list[int]:
    """Return the padded tokens of each share of ascending `lengths`."""
    ends = np.cumsum([0, *sizes])
    return [size * lengths[end - 1] if size else 0 for size, end in zip(sizes, ends[1:], strict=True)]


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=9).map(sorted),
    rows_at_most=st.integers(1, 9),
    spare=st.integers(0, 3),
)
@example(lengths=[1, 10, 10, 10], rows_at_most=2, spare=0)  # fewest tokens where the last three share a forward
def test_no_other_cuts_take_fewer_padded_tokens_within_the_same_memory(
    lengths: list[int], rows_at_most: int, spare: int
) -> None:
    count = -(-len(lengths) // rows_at_most) + spare
    sizes = least_padded(lengths, count, rows_at_most)
    assert (len(sizes), sum(sizes)) == (count, len(lengths))
    most = rows_at_most * lengths[-1]
    assert max(padded(lengths, sizes)) <= most
    used = min(count, len(lengths))
    every = [
        [b - a for a, b in pairwise((0, *cuts, len(lengths)))]
        for cuts in combinations(range(1, len(lengths)), used - 1)
    ]
    allowed = [sum(costs) for costs in (padded(lengths, other) for other in every) if max(costs) <= most]
    assert sum(padded(lengths, sizes)) == min(allowed)


def test_without_rows_every_share_is_empty() -> None:
    assert least_padded([], 3, 2) == [0, 0, 0]


@given(rows=st.lists(st.integers(), max_size=12), count=st.integers(1, 6))
def test_equal_shares_keep_the_order_and_differ_by_one_row_at_most(rows: list[int], count: int) -> None:
    shares = equal_shares(rows, count)
    assert [row for share in shares for row in share] == rows
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_long_answers_of_uneven_length_waste_less_than_15_per_cent_on_padding() -> None:
    """32 rows a process in 8 forwards, of mean 4,500 and at most 12,000 tokens, as long answers of 8B models are."""
    draws = np.random.default_rng(0)
    wastes, means = [], []
    for _ in range(50):
        lengths = sorted(np.minimum(draws.lognormal(np.log(3800), 0.62, 32), 12_000).astype(int).tolist())
        wastes.append(sum(padded(lengths, least_padded(lengths, 8, 4))) / sum(lengths) - 1)
        means.append(float(np.mean(lengths)))
    assert 4_300 < np.mean(means) < 4_700
    assert np.mean(wastes) < 0.08
    assert max(wastes) < 0.15
