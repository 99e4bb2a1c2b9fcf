"""Neighbouring stages share a fixed part of their examples."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.streams import Setting, make_schedule
from tests.streams.helpers import examples

SETTING = Setting(tasks=3, stage_steps=2, batch_size=2, seed=0)
TASKS = [examples(10, task) for task in "abc"]


def pools(spec: str) -> list[list[str]]:
    return [[e.task for e in pool] for pool in make_schedule(spec, SETTING).pools(TASKS)]


def test_a_stage_borrows_its_share_from_both_neighbours() -> None:
    first, middle, last = pools("overlap:0.3")
    assert (first.count("b"), middle.count("a"), middle.count("c"), last.count("b")) == (3, 3, 3, 3)
    assert "c" not in first


def test_every_stage_keeps_all_its_own_examples() -> None:
    assert [pool.count(task) for pool, task in zip(pools("overlap:0.5"), "abc", strict=True)] == [10, 10, 10]


def test_no_share_is_a_plain_sequence() -> None:
    assert pools("overlap:0") == pools("sequence")


@pytest.mark.parametrize("spec", ["overlap:1.5", "overlap:-1", "overlap:x"])
def test_a_share_outside_its_range_is_refused(spec: str) -> None:
    with pytest.raises(BadInput, match="share from 0 to 1"):
        make_schedule(spec, SETTING)
