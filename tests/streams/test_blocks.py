"""Blocks: one task at a time, and a task that returns continues where it stopped."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.streams import Setting, make_schedule

SETTING = Setting(tasks=2, stage_steps=2, batch_size=3, seed=0)


def tasks_of(spec: str, steps: int) -> list[int]:
    schedule = make_schedule(spec, SETTING)
    return [schedule.place(step, 0)[0] for step in range(steps)]


def test_each_task_has_its_block() -> None:
    assert tasks_of("sequence", 4) == [0, 0, 1, 1]
    assert tasks_of("recur:2", 8) == [0, 0, 1, 1, 0, 0, 1, 1]
    assert tasks_of("interleave:1", 4) == [0, 1, 0, 1]


def test_the_last_task_continues_after_the_end() -> None:
    assert tasks_of("sequence", 7)[4:] == [1, 1, 1]


def test_positions_of_a_task_have_no_gap_across_its_blocks() -> None:
    schedule = make_schedule("recur:2", SETTING)
    places = [schedule.place(step, slot) for step in range(8) for slot in range(3)]
    assert [position for task, position in places if task == 0] == list(range(12))


def test_a_run_is_as_long_as_its_blocks() -> None:
    assert [make_schedule(spec, SETTING).steps for spec in ("sequence", "recur:3", "interleave:2")] == [4, 12, 4]


@pytest.mark.parametrize("spec", ["sequence:1", "recur:1", "recur:x", "recur:" + "9" * 5000, "interleave:3"])
def test_arguments_that_make_no_blocks_are_refused(spec: str) -> None:
    with pytest.raises(BadInput, match="stream '"):
        make_schedule(spec, SETTING)
