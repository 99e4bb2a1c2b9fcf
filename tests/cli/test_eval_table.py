"""What `fastslow eval` prints of its measurements."""

from __future__ import annotations

import io

from rich.console import Console

from fastslow.cli.eval import _table
from fastslow.cli.eval_notes import notes
from fastslow.core.measurement import Answer
from fastslow.policy.engines.base import SamplingParams
from fastslow.record.tables import print_table
from tests.support.measurements import measurement


def printed(*measurements) -> list[str]:
    console = Console(file=io.StringIO())
    print_table(console, _table(measurements, SamplingParams(max_new_tokens=4, temperature=1.0), "float32"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_rewards_of_zero_and_one_are_shares_and_the_base_has_no_measured_kl() -> None:
    lines = printed(
        measurement(accuracy=0.5, fully_right=0.5, kl=0.0123),
        measurement(accuracy=0.25, fully_right=0.25, weights="base", kl=0.0),
    )
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [
        ["trained", "lead", "50.0%", "30.0% to 70.0%", "75.0%", "0", "0.0123", ""],
        ["base", "lead", "25.0%", "30.0% to 70.0%", "75.0%", "0", "", ""],
    ]


def test_partial_credit_is_a_mean_reward_beside_the_share_that_is_fully_right() -> None:
    lines = printed(measurement(accuracy=0.5, fully_right=0.25))
    assert any("mean reward@2" in line and "fully right" in line for line in lines)
    assert any("0.500" in line and "25.0%" in line and "50.0%" not in line for line in lines)


def test_a_base_that_earns_more_and_one_answer_to_everything_are_named() -> None:
    said = tuple(Answer(f"q{n}", 0, "c", 0.0, 3, text="technical\x1b[2J" if n else "billing") for n in range(4))
    found = list(notes([
        measurement(accuracy=0.3, answers=said, n=4), measurement(accuracy=0.53, weights="base"),
        measurement(accuracy=0.3, context="seed"), measurement(accuracy=0.2, context="seed", weights="base"),
        measurement(accuracy=None, context="mean"),
    ]))  # fmt: skip
    assert found == [
        "under the best prompt (lead) the base earns more than the trained weights: 53.0% to 30.0%",
        "under the best prompt (lead) the trained weights answer 'technical\N{REPLACEMENT CHARACTER}[2J' to 75%",
    ]
