"""What signals do to a run, and how its exit code says so."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from fastslow.run.signals import exit_code, stop_on_signals


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("done", 0),
        ("stopped by max_minutes", 0),
        ("stopped by SIGINT", 130),
        ("stopped by SIGTERM", 143),
        ("stopped by SIGHUP", 129),
    ],
)
def test_a_signal_is_told_by_its_number_and_everything_else_is_success(status: str, code: int) -> None:
    assert exit_code({"status": status}) == code


def test_a_process_without_a_summary_ends_well() -> None:
    assert exit_code({}) == 0


def test_a_terminal_that_closes_stops_a_run_once_and_what_nohup_ignores_stays_ignored() -> None:
    notes, stops = [], []
    recorder = SimpleNamespace(stopping=notes.append)
    trainer: Any = SimpleNamespace(recorder=recorder, stop=stops.append)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_on_signals(trainer):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
        assert stops == ["SIGHUP"]
        assert len(notes) == 1
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stop_on_signals(trainer):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
