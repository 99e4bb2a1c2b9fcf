"""A limit of processor time works in every thread and leaves nothing behind."""

from __future__ import annotations

import threading
import time

import pytest

from fastslow.tasks.scoring.watch import within


def spin() -> None:
    while True:
        sum(range(100))


def test_a_call_within_its_limit_returns_its_result() -> None:
    assert within(1.0, lambda: 42) == 42


def test_a_call_that_never_ends_is_stopped() -> None:
    with pytest.raises(TimeoutError):
        within(0.05, spin)


def test_an_error_of_the_call_rises() -> None:
    def broken() -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError):
        within(1.0, broken)


def test_waiting_does_not_count() -> None:
    assert within(0.1, lambda: time.sleep(0.2) or "done") == "done"


def test_the_limit_works_outside_the_main_thread() -> None:
    results: list[str] = []

    def work() -> None:
        try:
            within(0.05, spin)
        except TimeoutError:
            results.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert results == ["stopped"]
