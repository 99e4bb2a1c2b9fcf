"""The parts of the variance rule: memory that fades, and shrinkage towards what is known."""

from __future__ import annotations

import pytest

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.variance import MEMORY, Known, Running, VarianceRouter


def group(contexts: str, *rewards: float, example: str = "e", step: int = 0) -> GroupEvidence:
    n = len(rewards)
    return GroupEvidence(step, example, "t", tuple(contexts), rewards, (5,) * n)


def test_a_running_mean_of_equal_numbers_is_that_number() -> None:
    running = Running()
    for _ in range(5):
        running.add(0.3)
    assert running.mean == pytest.approx(0.3)


def test_old_numbers_lose_half_their_weight_in_the_half_life() -> None:
    running = Running()
    running.add(1.0)
    for _ in range(int(MEMORY)):
        running.add(0.0)
    newer = sum(0.5 ** (i / MEMORY) for i in range(int(MEMORY)))
    assert running.mean == pytest.approx(0.5 / (newer + 0.5))


def test_what_is_known_survives_json() -> None:
    router = VarianceRouter()
    router.observe(group("aabb", 1, 1, 0, 0), Route.FAST)
    other = VarianceRouter()
    other.load_state_dict(router.state_dict())
    assert other.state_dict() == router.state_dict()
    assert isinstance(other._examples["e"], Known)


def test_differences_between_contexts_go_to_the_contexts() -> None:
    assert VarianceRouter("0.25,0").route(group("aabb", 1, 1, 0, 0)) is Route.FAST


def test_differences_within_contexts_go_to_the_weights() -> None:
    assert VarianceRouter("0.25,0").route(group("aabb", 1, 0, 1, 0)) is Route.SLOW


def test_a_solved_group_is_skipped_without_rehearsal() -> None:
    assert VarianceRouter("0.25,0").route(group("aabb", 1, 1, 1, 1)) is Route.SKIP
    assert VarianceRouter("0.25,1").route(group("aabb", 1, 1, 1, 1)) is Route.BOTH
