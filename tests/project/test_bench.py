"""`make bench` takes an hour or two; that its two sides still take a step is tried here, on a few short rows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import bench_sides


@pytest.mark.parametrize("side", [bench_sides.ours, bench_sides.stock], ids=["ours", "stock"])
def test_a_side_of_the_bench_takes_a_step(tmp_path: Path, side) -> None:
    case = bench_sides.Case(
        contexts=2, context_tokens=4, problems=2, group=2, question_tokens=3, answer_tokens=(1, 2), micro_batch=4
    )
    rows = bench_sides.rollouts(case, seed=0)
    assert side(case, str(tmp_path), 2, rows).step() > 0
