"""Every place of a batch is dealt to a task by weights."""

from __future__ import annotations

from collections import Counter

import pytest

from fastslow.core.errors import BadInput
from fastslow.streams import Setting, make_schedule

SETTING = Setting(tasks=3, stage_steps=100, batch_size=4, seed=0)


def drawn(spec: str, steps: range) -> Counter[int]:
    schedule = make_schedule(spec, SETTING)
    return Counter(schedule.place(step, slot)[0] for step in steps for slot in range(4))


def test_a_mixture_keeps_its_weights() -> None:
    counts = drawn("mixture:2,1,1", range(300))
    assert counts[0] / 1200 == pytest.approx(0.5, abs=0.05)


def test_a_weight_of_zero_never_draws_its_task() -> None:
    assert set(drawn("mixture:1,0,1", range(100))) == {0, 2}


def test_a_drift_begins_with_the_first_task_and_ends_with_the_last() -> None:
    assert set(drawn("drift", range(1))) == {0}
    assert set(drawn("drift", range(299, 300))) == {2}
    assert set(drawn("drift", range(130, 170))) <= {0, 1, 2}


def test_a_position_is_that_of_the_whole_stream() -> None:
    schedule = make_schedule("mixture", SETTING)
    assert [schedule.place(step, slot)[1] for step in range(2) for slot in range(4)] == list(range(8))


@pytest.mark.parametrize("spec", ["mixture:1,2", "mixture:1,x,1", "mixture:-1,1,1", "mixture:0,0,0", "drift:1"])
def test_weights_that_cannot_be_drawn_with_are_refused(spec: str) -> None:
    with pytest.raises(BadInput, match="stream '"):
        make_schedule(spec, SETTING)
