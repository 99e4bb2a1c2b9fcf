"""Lengths and shares, read from a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.costs.pilot import read_pilot
from fastslow.costs.work import Range


def write(folder: Path, **files: list[dict[str, Any]]) -> str:
    for name in ("routes", "metrics"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in files.get(name, [])))
    return str(folder)


ROUTES = [
    {"step": 0, "completion_tokens": [100, 200]}, {"step": 0, "completion_tokens": [300, 400]},
    {"step": 1, "completion_tokens": [10, 10]}, {"step": 1, "completion_tokens": [10, 10]},
]  # fmt: skip
METRICS = [
    {"phase": "fast", "step": 0},
    {"phase": "slow", "step": 1, "fst/reused_rollouts": 2, "fst/live_rows": 0.5, "num_tokens": 1000 + 4 * 50},
    {"phase": "slow", "step": 2, "fst/reused_rollouts": 0, "fst/live_rows": 1.0, "num_tokens": 1200 + 40 + 4 * 60},
]


def test_a_pilot_says_lowest_mean_and_highest_step(tmp_path: Path) -> None:
    pilot = read_pilot(write(tmp_path, routes=ROUTES, metrics=METRICS))
    assert pilot.answer == Range(10, 130, 250)
    assert pilot.reused == Range(0, 0.25, 0.5)
    assert pilot.live == Range(0.5, 0.75, 1.0)
    assert pilot.prompt == Range(50, 55, 60)
    assert pilot.steps == 2


def test_prompts_are_not_made_up_where_steps_are_missing(tmp_path: Path) -> None:
    assert read_pilot(write(tmp_path, routes=ROUTES, metrics=METRICS[2:])).prompt is None
    assert read_pilot(write(tmp_path, routes=ROUTES)).live is None


def test_a_run_without_a_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has not made a step"):
        read_pilot(write(tmp_path))
    with pytest.raises(BadInput, match="holds no run"):
        read_pilot(str(tmp_path / "nowhere"))


def test_numbers_that_no_run_writes_are_not_taken(tmp_path: Path) -> None:
    odd = [{**row, "fst/reused_rollouts": reused, "fst/live_rows": live, "num_tokens": tokens, "step": step}
           for row in METRICS[1:] for step in (1, "x", None, 1e999, float("nan"))
           for reused, live, tokens in ((-3, -3.0, -5000), (10**400, 5, 10**400), (float("nan"),) * 3)]  # fmt: skip
    pilot = read_pilot(write(tmp_path, routes=ROUTES, metrics=odd))
    assert (pilot.reused, pilot.live, pilot.prompt) == (None, None, None)
    assert pilot.answer == Range(10, 130, 250)


LONG = '{"step": 0, "completion_tokens": [' + "9" * 401 + "]}"
NO_STEP = [f'{{"completion_tokens": [1]{step}}}' for step in ("", ', "step": null', ', "step": "x"', ', "step": 1e999')]


@pytest.mark.parametrize("line", [LONG, *NO_STEP, "{", '{"step": 0}', '{"step": 0, "completion_tokens": ["a"]}', "[1]"])
def test_a_damaged_line_is_refused_in_one_line(tmp_path: Path, line: str) -> None:
    write(tmp_path)
    (tmp_path / "routes.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match=r"routes\.jsonl") as caught:
        read_pilot(str(tmp_path))
    assert "\n" not in str(caught.value)
