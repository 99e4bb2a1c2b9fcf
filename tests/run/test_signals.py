"""The exit code of a run says how it ended."""

from __future__ import annotations

import pytest

from fastslow.run.signals import exit_code


@pytest.mark.parametrize(
    ("status", "code"),
    [("done", 0), ("stopped by max_minutes", 0), ("stopped by SIGINT", 130), ("stopped by SIGTERM", 143)],
)
def test_a_signal_is_told_by_its_number_and_everything_else_is_success(status: str, code: int) -> None:
    assert exit_code({"status": status}) == code


def test_a_process_without_a_summary_ends_well() -> None:
    assert exit_code({}) == 0
