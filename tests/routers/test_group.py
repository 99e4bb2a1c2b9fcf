"""What the rewards of one group say."""

from __future__ import annotations

import pytest

from fastslow.core.types import GroupEvidence
from fastslow.routers.group import rewards_by_context, spread, success


def group(contexts: str, rewards: list[float | None]) -> GroupEvidence:
    n = len(rewards)
    return GroupEvidence(0, "e", "t", tuple(contexts), tuple(rewards), (5,) * n, (0.3,) * n)


def test_rewards_stand_under_their_context_without_the_unscored_ones() -> None:
    assert rewards_by_context(group("abab", [1.0, 0.0, None, 1.0])) == {"a": [1.0], "b": [0.0, 1.0]}


def test_the_order_of_slots_changes_nothing() -> None:
    one, other = group("abab", [1.0, 0.0, 0.5, 1.0]), group("baba", [1.0, 0.5, 0.0, 1.0])
    assert list(rewards_by_context(one).items()) == list(rewards_by_context(other).items())


def test_success_is_the_mean_of_what_is_scored() -> None:
    assert success(group("aa", [1.0, None])) == 1.0
    assert success(group("ab", [1.0, 0.0])) == 0.5
    assert success(group("ab", [None, None])) is None


def test_variance_between_contexts_only() -> None:
    parts = spread({"a": [1.0, 1.0], "b": [0.0, 0.0]})
    assert (parts.between, parts.within, parts.best_within) == (pytest.approx(0.5), 0.0, 0.0)


def test_variance_within_contexts_only() -> None:
    parts = spread({"a": [1.0, 0.0], "b": [1.0, 0.0]})
    assert parts.within == pytest.approx(0.5)
    assert parts.between == pytest.approx(-0.25), "the unbiased estimate may be negative"


def test_the_best_context_has_its_own_variance() -> None:
    assert spread({"a": [1.0, 1.0], "b": [1.0, 0.0]}).best_within == 0.0
