"""Narrow what may be None to what a test expects."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return `value`, which the test expects to be there. Raises AssertionError for None."""
    assert value is not None, "None where the test expects a value"
    return value
