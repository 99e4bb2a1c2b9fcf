"""The log of requests is a file, or is refused before anything is served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.serving.meters import Log


def test_a_log_that_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # without one, opening the pipe would wait for ever
    try:
        for path in (pipe, link, Path("/dev/null"), tmp_path):
            with pytest.raises(BadInput, match="not a file"):
                Log(path)
    finally:
        os.close(reader)


def test_a_log_may_be_new_or_go_on(tmp_path: Path) -> None:
    for _ in range(2):
        Log(tmp_path / "log.jsonl").write("request", {"a": 1})
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 2
