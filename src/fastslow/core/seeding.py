"""Derive every seed from the run's seed and a purpose, never from global state."""

from __future__ import annotations

import hashlib


def derive_seed(run_seed: int, *purpose: object) -> int:
    """Return a 63-bit seed for one purpose, equal on every machine and in every process.

    `purpose` is a path such as `("slow", step, example_id, slot)`: two rollouts share random numbers only if they share
    the whole path.
    """
    path = "/".join(str(part) for part in (run_seed, *purpose))
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big") >> 1
