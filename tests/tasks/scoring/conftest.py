"""Scorers are given little processor time here, and a garbage collection takes of it what it needs."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="package")
def _little_garbage() -> None:
    """Leave the objects of earlier tests out of collections: walking thousands of them took half a second."""
    gc.collect()
    gc.freeze()
