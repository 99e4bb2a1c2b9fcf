"""A scored batch is cut into micro-batches that hold its live rows, each trimmed, and nothing else."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from fastslow.policy.token_trees import Row
from fastslow.slow.batches import plan_rows
from fastslow.slow.split import EMPTY, Splitter

LENGTHS = [3, 1, 2, 2]


def scored() -> dict[str, Any]:
    """Two problems of two rows, prompts padded on the left, answers on the right."""
    mask = torch.tensor([[1] * n + [0] * (4 - n) for n in LENGTHS])
    return {
        "prompt_ids": torch.arange(4 * 5).view(4, 5),
        "prompt_mask": torch.tensor([[0, 0, 1, 1, 1]] * 4),
        "completion_ids": torch.arange(4 * 4).view(4, 4),
        "completion_mask": mask,
        "advantages": torch.tensor([1.0, -1.0, 0.0, 0.0]),
    }


def rows() -> list[Row]:
    return [Row((7, 8, 9, *range(i, i + n)), n) for i, n in enumerate(LENGTHS)]


def plan(slow: list[bool], rewards: list[float]) -> Any:
    return plan_rows(
        rewards_N=torch.tensor(rewards), lengths_N=torch.tensor(LENGTHS), slow_B=torch.tensor(slow), per_problem=False,
        regularised=False,
    )  # fmt: skip


def split(slots: int = 2, as_trees: bool = False, rows_per_forward: int = 2, scale: float = 1.0, **plans: Any) -> list:
    splitter = Splitter("cispo", rows_per_forward, slots, as_trees)
    made = plan(plans.get("slow", [True, True]), plans.get("rewards", [1.0, 0.0, 0.5, 0.5]))
    return splitter.split(scored(), rows(), made, first=0, scale=scale)


@pytest.mark.parametrize("as_trees", [False, True])
def test_only_rows_with_an_advantage_are_computed_and_in_the_last_slots(as_trees: bool) -> None:
    empty, batch = split(as_trees=as_trees)
    assert empty is EMPTY
    assert sorted(batch["completion_ids"][:, 0].tolist()) == [0, 4], "rows 0 and 1 are live, 2 and 3 have no spread"


def test_padding_that_no_row_of_a_micro_batch_needs_is_cut_off() -> None:
    batch = split()[1]
    assert batch["prompt_ids"].shape[1] == 3, "three tokens of each prompt are real"
    assert batch["completion_ids"].shape[1] == 3, "the longest live answer has three tokens"


def test_a_smaller_forward_takes_more_slots_and_leaves_no_row_out() -> None:
    batches = split(rows_per_forward=1)
    assert [len(batch["advantages"]) for batch in batches] == [1, 1]
    assert sorted(float(batch["advantages"][0]) for batch in batches) == [-1.0, 1.0]


@pytest.mark.parametrize(("evenly", "sizes"), [(False, [1, 3]), (True, [2, 2])])
def test_rows_are_cut_where_padding_is_least_unless_every_forward_is_to_hold_as_many(
    evenly: bool, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LENGTHS", [4, 1, 1, 1])
    made = plan([True, True], [1.0, 0.0, 1.0, 0.0])
    batches = Splitter("cispo", 2, 2, as_trees=False, evenly=evenly).split(
        scored(), long_rows(), made, first=0, scale=1
    )
    assert sorted(len(batch["advantages"]) for batch in batches) == sizes


def long_rows() -> list[Row]:
    """The same rows, the first of which is much longer than the others."""
    return [Row((*row.ids, *range(50, 60)) if i == 0 else row.ids, row.answer) for i, row in enumerate(rows())]


def test_the_brake_scales_every_advantage() -> None:
    assert sorted(split(scale=0.25)[1]["advantages"].tolist()) == [-0.25, 0.25]


def test_groups_that_are_not_routed_to_the_weights_leave_every_slot_empty() -> None:
    assert split(slow=[False, False]) == [EMPTY, EMPTY]


def test_tokens_of_every_counted_row_stand_in_the_denominator() -> None:
    assert float(split()[1]["num_items_in_batch"]) == sum(LENGTHS), "rows without an advantage still divide"
    assert float(split(slow=[True, False])[1]["num_items_in_batch"]) == sum(LENGTHS[:2])
