"""The line of a pipe and the lines of a terminal, on any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fastslow.record.progress import Plan, Progress
from fastslow.record.view import MOST_LINES, View, status_line
from tests.record.test_progress import Script


def progress() -> Progress:
    numbers = {"reward": 0.5, "fst/live_rows": 0.75, "kl": 0.0123, "frac_reward_zero_std": 0.25}
    run = Script(max_steps=12).fast(0).slow(1)
    run.row("slow", 2, 10.0, **numbers)
    run.progress.standings({"lead": "a", "standings": [{"context_id": "a", "level": 0.63, "low": 0.24, "high": 1.0}]})
    run.progress.phase, run.progress.since = "fast", run.wall - 42
    return run.progress


def shown(width: int, view: View | None = None, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    known = progress()
    console = Console(file=file, width=width)
    console.print(view or View(lambda: known, clock=lambda: known.written or 0.0))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(encoding).splitlines()


def test_a_step_is_one_line_in_a_pipe() -> None:
    known = progress()
    assert status_line(known, known.written or 0.0) == (
        "step 2/12 reward 0.500 live 0.750 kl 0.012 tok/s 5 lead 0.63 (0.24 to 1.00) eta 4.7 min + evaluations"
    )
    assert status_line(Progress(Plan(12)), 0.0) == "step 0/12", "what is not known is left out"


def test_on_a_hundred_columns_all_of_it_stands_in_two_lines() -> None:
    assert shown(100) == [
        "evolving contexts 42 s      step 2/12 ━━━───────────────── 17%  ETA 4.7 min + evaluations",
        "reward 0.500  live groups 75%  lead 0.63 (0.24 to 1.00)  KL 0.012  5 tokens/s",
    ]


def test_a_run_that_is_told_to_stop_says_so_and_has_no_eta() -> None:
    known = progress()
    known.stopping = True
    view = View(lambda: known, clock=lambda: known.written or 0.0)
    assert shown(100, view)[0] == "evolving contexts 42 s      step 2/12 ━━━───────────────── 17%  told to stop"
    assert shown(40, view)[:3] == ["evolving contexts 42 s  told to stop", "step 2/12 ━━━───────────────── 17%",
                                   "reward 0.500  live groups 75%"]  # fmt: skip
    assert "eta" not in status_line(known, known.written)
    assert "told to stop" not in "".join(shown(100, View(lambda: known, state=lambda: "ended")))


def test_on_forty_columns_no_piece_is_torn() -> None:
    assert shown(40) == [
        "evolving contexts 42 s",
        "ETA 4.7 min + evaluations",
        "step 2/12 ━━━───────────────── 17%",
        "reward 0.500  live groups 75%",
        "lead 0.63 (0.24 to 1.00)  KL 0.012",
        "5 tokens/s",
    ]


def test_on_fewer_columns_what_matters_least_goes_first() -> None:
    assert shown(26) == [
        "evolving contexts 42 s",
        "ETA 4.7 min + evaluations",
        "step 2/12 ━━────────── 17%",
        "reward 0.500",
        "live groups 75%",
        "lead 0.63 (0.24 to 1.00)",
    ]


@pytest.mark.parametrize("width", range(1, 120, 7))
def test_no_line_is_wider_than_the_terminal_and_there_are_six_at_most(width: int) -> None:
    lines = shown(width)
    assert 1 <= len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= width


def test_a_terminal_without_unicode_gets_none() -> None:
    assert "step 2/12 ###----------------- 17%" in shown(100, encoding="ascii")[0]
    assert all(line.isascii() for line in shown(40, encoding="ascii"))


def test_a_run_that_does_not_go_on_has_no_eta() -> None:
    known = progress()
    view = View(lambda: known, state=lambda: "broken off", beside=lambda: "last line 5 s ago", clock=lambda: 0.0)
    lines = shown(100, view)
    assert lines[0].startswith("broken off  ")
    assert "ETA" not in "".join(lines)
    assert lines[-1] == "last line 5 s ago"


def test_without_a_kl_term_the_drift_of_the_last_evaluation_is_shown_with_its_step() -> None:
    run = Script(mode="rl").slow(1).row("eval", 1, 2.0, eval_seed_kl=0.5).slow(2)
    assert "KL 0.500 at step 1" in shown(100, View(lambda: run.progress, clock=lambda: run.wall))[1]


def test_a_fast_phase_says_how_many_rollouts_it_has_made() -> None:
    known = progress()
    known.made = (96, 192)
    lines = shown(120, View(lambda: known, clock=lambda: known.written or 0.0))
    assert lines[0].endswith("  96 of 192 rollouts")
    assert "96 of 192 rollouts" in shown(40, View(lambda: known, clock=lambda: known.written or 0.0))
