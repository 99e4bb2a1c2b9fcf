"""A table keeps its numbers on any terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import fastslow.cli
from fastslow.record.display import closing_table
from fastslow.record.tables import least_width, print_table

SUMMARY = {
    "steps": 12, "mode": "fst", "seed": 3,
    "accuracy": {"base_seed": 0.111, "base_lead": 0.222, "seed": 0.333, "lead": 0.444, "mean": 1.0, "nearest": None},
}  # fmt: skip
NUMBERS = ["11.1%", "22.2%", "33.3%", "44.4%", "100.0%", "n/a"]


def shown(summary: dict, width: int, *, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True, legacy_windows=False)
    print_table(console, closing_table(summary))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [1, 10, 20, 25, 30, 35, 40, 50, 60, 80, 200])
def test_the_closing_table_keeps_its_numbers_at_any_width(width: int) -> None:
    text = shown(SUMMARY, width)
    assert [number for number in NUMBERS if number not in text] == []


@pytest.mark.parametrize("width", [20, 30, 40, 80])
def test_so_does_that_of_several_tasks(width: int) -> None:
    values = SUMMARY["accuracy"]
    tasks = {f"jsonl:/data/a_long_folder/{name}.jsonl?scorer=my.module:score": values for name in ("sums", "dates")}
    text = shown({**SUMMARY, "tasks": tasks}, width)
    assert {number: text.count(number) for number in NUMBERS} == dict.fromkeys(NUMBERS, 3)
    assert "sums" in text
    assert "dates" in text


def test_a_narrow_terminal_gets_a_line_for_each_row_with_what_each_number_is() -> None:
    lines = shown(SUMMARY, 20).splitlines()
    assert lines[1] == "base: plain prompt (seed) 11.1%, best prompt (lead) 22.2%"
    assert lines[2].startswith("trained: plain prompt (seed) 33.3%, best prompt (lead) 44.4%, population mean 100.0%")


def test_a_table_that_fits_is_a_table() -> None:
    wide = least_width(closing_table(SUMMARY))
    assert "(seed) 11.1%" not in shown(SUMMARY, wide)
    assert "(seed) 11.1%" in shown(SUMMARY, wide - 1)
    assert re.search("[┃|]", shown(SUMMARY, wide))


def test_a_pipe_gets_every_row_of_a_table_in_one_line() -> None:
    long = {**SUMMARY, "tasks": {f"jsonl:/data/{name}.jsonl": SUMMARY["accuracy"] for name in ("sums" * 9, "dates")}}
    lines = shown(long, 30, terminal=False).splitlines()
    assert len([line for line in lines if "base" in line and "11.1%" in line and "22.2%" in line]) == 3
    assert lines[0] == "validation accuracy after 12 steps (fst, seed 3)"
    assert len([line for line in lines if "│" in line]) == 6, "base and trained, of two tasks and their mean"


def test_no_command_prints_a_table_past_print_table() -> None:
    """One way to the screen for every table: what a command prints by itself is broken at eighty columns in a pipe."""
    commands = Path(fastslow.cli.__file__).parent
    past = re.compile(r"(?<!_)print\((table|_table\()")
    assert [path.name for path in commands.glob("*.py") if past.search(path.read_text())] == []
