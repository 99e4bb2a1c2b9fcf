"""Rows of files have typed fields, whatever a file holds in the place of one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fastslow.report.reading.rows import (
    Counts,
    measurement,
    metrics_rows,
    proposal_row,
    rollout_row,
)
from fastslow.report.reading.values import count, mean_score, names, number, text

STRANGE = [None, True, "x", [], {}, math.nan, math.inf, -1, 10**400, 1.5]


@pytest.mark.parametrize("value", STRANGE)
def test_nothing_that_a_file_may_hold_raises(value) -> None:
    keys = (
        "step", "phase", "rollouts", "tokens", "wall_s", "context", "task", "accuracy", "gain", "weights", "id",
        "components", "parents", "proposer", "accepted", "minibatch_scores", "question", "feedback", "reward",
    )  # fmt: skip
    row: dict[str, Any] = dict.fromkeys(keys, value)
    (line,) = metrics_rows([row])
    assert line.step is None or line.step >= 0
    assert all(math.isfinite(one) for one in line.numbers.values())
    assert measurement(row).accuracy in (None, 1.5, -1.0)
    assert isinstance(proposal_row(row).parents, list)
    assert isinstance(rollout_row(row).question, str)


def test_numbers_are_finite_and_counts_are_whole() -> None:
    assert [number(value) for value in (1, 0.5, True, "1", math.nan, 10**400)] == [1.0, 0.5, None, None, None, None]
    assert [count(value) for value in (3, 3.0, 3.5, -1)] == [3, 3, None, None]
    assert (text([1], "other"), text(7, "other"), text("x" * 900, "")) == ("other", "7", "x" * 500)
    assert names(["a", 3, "b"]) == ["a", "b"]


def test_a_mean_score_with_a_hole_is_missing_and_not_of_the_rest() -> None:
    assert mean_score({"a": 1.0, "b": 0.5}) == 0.75
    assert mean_score({"a": 1.0, "b": None}) is None
    assert mean_score({}) is None


def test_what_was_spent_adds_the_reflection_tokens_of_all_fast_phases_so_far() -> None:
    fast = {"phase": "fast", "fst/fast/lm_prompt_tokens": 90, "fst/fast/lm_completion_tokens": 10}
    slow = {"phase": "slow", "step": 1, "wall_s": 2.5, "rollouts": {"slow": 8, "fast": 4, "reused": 2}}
    rows = list(metrics_rows([fast, slow, fast]))
    assert [row.spent["reflection"] for row in rows] == [100, 100, 200]
    assert (rows[1].spent["rollouts"], rows[1].spent["seconds"], rows[1].spent["tokens"]) == (12, 2.5, None)
    assert rows[1].rollouts == Counts(8.0, 4.0, 2.0)


def test_an_unscored_rollout_and_an_unmeasured_accuracy_are_not_0() -> None:
    assert rollout_row({"reward": None}).reward is None
    assert rollout_row({"reward": 0.0}).reward == 0.0
    assert measurement({"accuracy": None, "weights": "base"}).accuracy is None
