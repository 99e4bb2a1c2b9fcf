"""The simulated error rates of the gate: what docs/gate.md says, and whether a fresh simulation agrees."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from gate_sim import BEGIN, END, graded_table, simulate, table  # noqa: E402


@pytest.mark.parametrize("looks", [1, 4])
@pytest.mark.parametrize("discordance", [0.10, 0.20])
def test_a_candidate_that_lost_the_margin_is_released_as_rarely_as_promised(discordance: float, looks: int) -> None:
    assert simulate(0.05, 0.05, discordance, 400, looks, 0.05, gates=10_000, seed=7)["pass"] <= 0.06


def test_a_candidate_that_is_as_good_passes_with_three_hundred_questions() -> None:
    equal = simulate(0.05, 0.05, 0.10, 400, 4, 0.0, gates=10_000, seed=8)
    assert equal["pass"] >= 0.90
    assert equal["questions"] <= 300


def test_the_page_has_the_tables_of_the_results() -> None:
    results = json.loads((ROOT / "results/gate-sim.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/gate.md").read_text(encoding="utf-8")
    tables = f"{table(results['cells'])}\n\n{graded_table(results['graded'])}"
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == tables
