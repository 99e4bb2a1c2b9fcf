"""Seeds depend on the run's seed and the purpose, and on nothing else."""

from __future__ import annotations

from typing import Any

from fastslow.core.seeding import derive_seed


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert derive_seed(0, "slow", 3, "example", 1) == 504437374087538905


def test_every_part_of_the_purpose_changes_the_seed() -> None:
    purposes: list[tuple[Any, ...]]
    purposes = [(0, "slow", 3), (1, "slow", 3), (0, "fast", 3), (0, "slow", 4), (0, "slow", 3, 0)]
    assert len({derive_seed(*purpose) for purpose in purposes}) == len(purposes)


def test_a_seed_fits_a_signed_64_bit_integer() -> None:
    assert all(0 <= derive_seed(0, i) < 2**63 for i in range(1000))
