"""What a terminal shows of a run: with several tasks, every number by its task, on a hundred columns at most."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.evidence import Standing
from fastslow.core.measurement import Measurement
from fastslow.files.run_directory import RunDirectory
from fastslow.record.display import SilentDisplay, TerminalDisplay, closing_table
from fastslow.record.live_file import read_live
from fastslow.record.progress import Plan
from fastslow.run.train import train
from tests.support.measurements import measurement
from tests.support.runs import stream_settings, tiny_settings

PRODUCTS = "reasoning_gym:products?max_digits=1&max_terms=2&min_digits=1&min_terms=2&scorer=number"
SUMS = "reasoning_gym:chain_sum?max_digits=1&max_terms=2&min_digits=1&min_terms=2&scorer=number"
GRAPH = "star_graph?degree=2&ids=10&path=2"
KINDS = ("seed", "lead", "mean", "cluster", "nearest")


def console(width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width)


def text_of(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def measured(task: str, context: str, accuracy: float) -> Measurement:
    kl = 12.3456 if context in ("seed", "lead") else None
    return measurement(task=task, context=context, accuracy=accuracy, kl=kl)


def test_replies_that_could_not_be_read_are_said_of_a_fast_phase() -> None:
    names = ("proposals", "accepted", "lead_anchor_score", "metric_calls", "seconds")
    for lost, said in ((0, "7 rollouts, 7 s"), (2, "7 rollouts, 2 of 9 replies without a readable edit, 7 s")):
        shown = console(300)
        metrics = {**dict.fromkeys(names, 7.0), "lm_calls": 9.0, "lm_unreadable": float(lost)}
        TerminalDisplay(shown).fast(3, {f"fst/fast/{name}": value for name, value in metrics.items()})
        assert text_of(shown).rstrip().endswith(said)


def test_a_fast_phase_that_could_pay_for_no_more_proposals_says_what_it_had() -> None:
    names = ("proposals", "accepted", "lead_anchor_score", "metric_calls", "seconds", "lm_calls", "lm_unreadable")
    for most, said in ((80, "on the anchor set, 80 rollouts, 80 s"), (96, "80 of at most 96 rollouts, 80 s")):
        shown = console(300)
        display = TerminalDisplay(shown)
        display.phase("fast", 0)
        display.rollouts(80, most)
        metrics = {**dict.fromkeys(names, 0.0), "metric_calls": 80.0, "seconds": 80.0}
        display.fast(0, {f"fst/fast/{name}": value for name, value in metrics.items()})
        assert text_of(shown).rstrip().endswith(said)


def test_an_evaluation_of_several_tasks_has_a_line_for_each() -> None:
    shown = console()
    rows = [measured(task, kind, 1.0) for task in (PRODUCTS, GRAPH, SUMS) for kind in KINDS]
    TerminalDisplay(shown).evals(8, rows)
    assert text_of(shown).splitlines() == [
        "eval at step 8, trained weights:",
        "                seed    lead    mean  cluster  nearest  kl: seed  kl: lead",
        "  products    100.0%  100.0%  100.0%   100.0%   100.0%   12.3456   12.3456",
        "  star_graph  100.0%  100.0%  100.0%   100.0%   100.0%   12.3456   12.3456",
        "  chain_sum   100.0%  100.0%  100.0%   100.0%   100.0%   12.3456   12.3456",
    ]


def test_an_evaluation_of_one_task_stays_one_line() -> None:
    shown = console()
    TerminalDisplay(shown).evals(8, [measured(GRAPH, "seed", 0.5)])
    assert text_of(shown) == "eval at step 8: trained+seed 50.0%, kl 12.3456 (seed context)\n"


def test_the_closing_table_of_several_tasks_names_them_in_a_log_file_too() -> None:
    values = {**dict.fromkeys(("base_seed", "base_lead"), 0.0), **dict.fromkeys(KINDS, 1.0)}
    summary = {"steps": 24, "mode": "fst", "seed": 42, "accuracy": {**values, "cluster": 0.5}}
    shown = console(80)
    shown.print(closing_table({**summary, "tasks": dict.fromkeys((PRODUCTS, GRAPH, SUMS), values)}))
    rows = [[cell.strip() for cell in line.split("│")[1:]] for line in text_of(shown).splitlines() if "│" in line]
    assert [cells[0] for cells in rows if cells[1] == "base"] == [
        "products",
        "star_graph",
        "chain_sum",
        "mean of tasks",
    ]
    assert [cells[-3] for cells in rows if cells[1] == "trained"] == ["100.0%", "100.0%", "100.0%", "50.0%"]
    alone = console()
    alone.print(closing_table({**summary, "tasks": {GRAPH: values}}))
    assert "star_graph" not in text_of(alone)
    assert "mean of tasks" not in text_of(alone)


def test_a_run_opens_with_what_it_learns_and_how_that_comes(tmp_path: Path) -> None:
    class Listening(SilentDisplay):
        title = ""

        def start(self, plan: Plan, title: str, done: int = 0) -> None:
            self.title = title

    display = Listening()
    settings = stream_settings(tmp_path, stream="recur:2", stage_steps=1, labels="hidden", router="variance")
    train(FastSlowConfig(**settings, save_bundle=False), display=display)
    assert "on sums + words + dates, stream recur:2, labels hidden, router variance, 6 steps of 4" in display.title


def test_only_what_was_measured_is_shown_of_a_run_without_contexts_or_kl() -> None:
    """The base has no drift, and mode rl no context but the seed."""
    shown = console()
    base = measurement(task=GRAPH, context="seed", accuracy=0.25, weights="base", kl=0.0)
    TerminalDisplay(shown).evals(8, [base])
    assert text_of(shown) == "eval at step 8: base+seed 25.0%\n"
    accuracy = {"base_seed": 0.25, "base_lead": None, "seed": 0.5, "lead": None, "mean": None}
    summary = {"steps": 8, "mode": "rl", "seed": 1, "channels": {"fast": False, "slow": True}, "accuracy": accuracy}
    shown = console()
    shown.print(closing_table(summary))
    assert "lead" not in text_of(shown)
    assert "n/a" not in text_of(shown)
    assert "25.0%" in text_of(shown)


def test_partial_credit_is_shown_as_a_mean_reward_with_the_share_fully_right() -> None:
    shown = console()
    TerminalDisplay(shown).evals(8, [measurement(task=GRAPH, context="seed", accuracy=0.5, fully_right=0.25)])
    assert text_of(shown) == "eval at step 8 (mean reward / fully right): trained+seed 0.500 / 25.0%\n"
    shown = console()
    rows = [measurement(task=task, context="seed", accuracy=0.5, fully_right=0.25) for task in (GRAPH, SUMS)]
    TerminalDisplay(shown).evals(8, rows)
    assert "  star_graph  0.500 / 25.0%" in text_of(shown)
    accuracy = dict.fromkeys(("base_seed", "base_lead", "seed", "lead", "mean"), 0.5)
    summary = {"steps": 8, "mode": "fst", "seed": 1, "accuracy": accuracy}
    for right, title, cell in ((0.25, "mean reward / fully right after", "0.500 / 25.0%"), (0.5, "accuracy", "50.0%")):
        shown = console(200)
        shown.print(closing_table({**summary, "fully_right": dict.fromkeys(accuracy, right)}))
        assert f"validation {title}" in text_of(shown)
        assert text_of(shown).count(cell) == 5


HOSTILE = "a\x1b]0;pwned\x07\x1b[2Jb\x9b31m\r\u202ec[/bold]"


def test_no_words_of_a_model_or_a_file_are_obeyed_by_a_terminal() -> None:
    shown = console(300)
    display = TerminalDisplay(shown)
    display.start(Plan(2), HOSTILE)
    display.note(f"first line\n{HOSTILE}")
    display.evals(1, [measured(HOSTILE, HOSTILE, 0.5)])
    display.evals(1, [measured(HOSTILE, HOSTILE, 0.5), measured(GRAPH, HOSTILE, 0.5)])
    said = text_of(shown)
    assert not [c for c in said if not c.isprintable() and c != "\n"]
    assert said.count("c[/bold]") >= 4
    assert "first line\n" in said


class Terminal(io.StringIO):
    """A terminal that is closed after a while."""

    encoding = "utf-8"
    closes = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.closes:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_has_live_lines_below_the_notes_and_may_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    display = TerminalDisplay()
    display.start(Plan(2), "a run")
    display.phase("fast", 0)
    display.note("a note")
    print("from somewhere else", file=sys.stderr)
    said = terminal.getvalue()
    assert said.index("a run") < said.index("a note") < said.rindex("step 0/2")
    assert "evolving contexts" in said
    terminal.closes = True
    display.note("nobody reads this")
    display.row({"step": 1, "phase": "slow"})
    display.step(1, {})
    display.stop()
    assert sys.stderr is terminal
    assert "nobody" not in terminal.getvalue()


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"FORCE_COLOR": "1", "TERM": "xterm"}], ids=str)
def test_what_cannot_be_drawn_again_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """A dumb terminal; and a pipe, which rich takes for a terminal where FORCE_COLOR is set."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    file = Terminal() if variables["TERM"] == "dumb" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    display = TerminalDisplay()
    display.start(Plan(2), "a run")
    display.phase("fast", 0)
    display.row({"step": 1, "phase": "slow", "reward": 0.5})
    display.step(1, {})
    display.stop()
    assert file.getvalue() == "a run\nevolving contexts ...\nstep 1/2 reward 0.500\n"


def test_a_run_leaves_who_leads_and_no_note_of_a_phase(tmp_path: Path) -> None:
    phases: list[str] = []

    class Looking(SilentDisplay):
        def step(self, step: int, logs: dict[str, Any]) -> None:
            phases.append(read_live(tmp_path / "run").phase)

    train(FastSlowConfig(**tiny_settings(tmp_path, max_steps=1, save_bundle=False)), display=Looking())
    run = RunDirectory(tmp_path / "run")
    assert phases == ["slow"]
    assert not (run.path / "live.json").exists()
    assert [row["lead"] for row in run.read("standings.jsonl")] == [run.summary()["lead_context"]["id"]]


def test_the_best_of_the_standings_is_not_taken_for_the_lead_where_it_is_another() -> None:
    best, lead = Standing("b", 0.35, 0.16, 0.55, 0.0, 40.0), Standing("a", 0.29, 0.1, 0.48, 0.0, 60.0)
    said = []
    for who in ("b", "a", "c"):
        shown = console()
        TerminalDisplay(shown).standings([best, lead], who)
        said.append(text_of(shown))
    assert said == [
        "by all its rollouts the best context earns a mean reward of 0.35 (0.16 to 0.55); the next best 0.29\n",
        "by all its rollouts another context than the lead earns most, 0.35 (0.16 to 0.55); the lead 0.29 (0.10 to "
        "0.48)\n",
        "by all its rollouts another context than the lead earns most, 0.35 (0.16 to 0.55); the lead has no rollouts "
        "yet\n",
    ]


def test_a_pipe_counts_the_rollouts_of_a_fast_phase_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, now = console(), [0.0]
    monkeypatch.setattr("fastslow.record.display.time.monotonic", lambda: now[0])
    display = TerminalDisplay(shown)
    display.phase("fast", 0)
    for made in range(1, 6):
        now[0] += 30
        display.rollouts(made, 8)
    said = text_of(shown).splitlines()
    assert said == ["evolving contexts ...", *(f"evolving contexts: {n} of 8 rollouts" for n in (2, 4))]


def test_the_rollouts_of_fast_phases_and_evaluations_are_shown_while_they_run(tmp_path: Path) -> None:
    by_phase: dict[str, list[tuple[int, int]]] = {}

    class Counting(SilentDisplay):
        now = ""

        def phase(self, name: str, step: int) -> None:
            self.now = name

        def rollouts(self, made: int, budget: int) -> None:
            by_phase.setdefault(self.now, []).append((made, budget))

    train(FastSlowConfig(**tiny_settings(tmp_path, max_steps=1, save_bundle=False)), display=Counting())
    seen = by_phase["fast"]
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert {budget for _, budget in seen} == {tiny_settings(tmp_path)["fast_metric_calls"]}
    assert "save" not in by_phase, "nothing is rolled out while the bundle is written"
    ends = [made for made, asked in by_phase["eval"] if made == asked]
    assert len(ends) == 2, "of the trained weights, then of the base"
    assert len(by_phase["eval"]) > len(ends)
