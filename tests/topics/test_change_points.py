"""A change of the mix of clusters is seen when it is recent, and not where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from fastslow.topics.change_points import RECENT, recent_change


def counts(*batches: tuple[int, int]) -> np.ndarray:
    return np.array(batches)


def test_one_steady_mix_is_no_change() -> None:
    probability, _ = recent_change(counts(*[(4, 4)] * 20))
    assert probability < 0.05


@pytest.mark.parametrize("ago", [1, 2, RECENT])
def test_a_switch_is_dated_to_its_first_batch(ago: int) -> None:
    probability, found = recent_change(counts(*[(8, 0)] * 20, *[(0, 8)] * ago))
    assert probability > 0.99
    assert found == ago


def test_a_switch_of_long_ago_is_not_announced() -> None:
    probability, _ = recent_change(counts(*[(8, 0)] * 20, *[(0, 8)] * 20))
    assert probability < 0.01


def test_a_single_batch_has_no_change() -> None:
    assert recent_change(counts((8, 0))) == (0.0, 0)
