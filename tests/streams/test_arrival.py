"""The lines of a file arrive in their order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.streams import ArrivalStream
from fastslow.tasks.families.jsonl import JsonlTask
from fastslow.tasks.families.star_graph import StarGraphTask


def test_lines_arrive_in_their_order_and_start_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": "a"}) + "\n" for i in range(12)))
    task = JsonlTask(path)
    stream = ArrivalStream(task, batch_size=3)
    lines = [e.payload["line"] for step in range(5) for e in stream.batch(step)]
    train = sorted(e.payload["line"] for e in task.split("train"))
    assert lines == [train[i % len(train)] for i in range(15)]


def test_a_task_without_lines_is_refused() -> None:
    task = StarGraphTask(degree=2, path=3, ids=10, train_size=4, validation_size=1, test_size=1)
    with pytest.raises(BadInput, match="stream 'arrival'"):
        ArrivalStream(task, batch_size=2)
