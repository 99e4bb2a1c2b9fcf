"""What is left of a run: each kind of work ahead at what that kind took, and what was not timed yet by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastslow.files.run_directory import RunDirectory
from fastslow.record.display import SilentDisplay
from fastslow.record.progress import Left, Plan, Progress
from fastslow.record.recorder import Recorder
from fastslow.record.view import remaining

SETTINGS = {
    "mode": "fst", "max_steps": 6, "slow_steps_per_cycle": 3, "population_size": 4, "eval_strategy": "steps",
    "eval_steps": 4,
}  # fmt: skip
STEP, PHASE, CONTEXT = 10.0, 60.0, 2.0
"""Seconds of a step, of a fast phase, and of an evaluation under one context."""


class Script:
    """Writes the lines of a run whose work takes the seconds above."""

    def __init__(self, **changed: Any):
        self.plan = Plan.of({**SETTINGS, **changed})
        self.progress = Progress(self.plan)
        self.rows: list[dict[str, Any]] = []
        self.wall, self.tokens = 5.0, {"slow": 0, "fast": 0}

    def row(self, phase: str, step: int, seconds: float, **numbers: float) -> Script:
        self.wall += seconds
        row = {"step": step, "phase": phase, "wall_s": self.wall, "tokens": dict(self.tokens), **numbers}
        self.rows.append(row)
        self.progress.row(row, written=self.wall)
        return self

    def fast(self, step: int) -> Script:
        self.tokens["fast"] += 600
        return self.row("fast", step, PHASE, **{"fst/fast/seconds": PHASE})

    def slow(self, step: int, steps: int = 1) -> Script:
        self.tokens["slow"] += 100 * steps
        return self.row("slow", step, STEP * steps, step_time=STEP)

    def evaluate(self, step: int, contexts: int = 5) -> Script:
        return self.row("eval", step, CONTEXT * contexts)

    def left(self) -> Left | None:
        return self.progress.left(self.wall)


def test_a_time_of_nothing_is_not_shown_and_a_limit_is() -> None:
    ended = Script(mode="rl", max_steps=2).slow(1).slow(2)
    assert remaining(ended.progress, ended.wall) == "evaluations"
    limited = Script(mode="rl", max_minutes=0.5).slow(1)
    assert remaining(limited.progress, limited.wall).endswith(" (max_minutes)")


@pytest.mark.parametrize(("mode", "shown"), [("rl", True), ("supervised", False)])
def test_the_reward_of_answers_that_the_data_gave_is_none_of_the_models(mode: str, shown: bool) -> None:
    run = Script(mode=mode).row("slow", 1, STEP, reward=1.0, step_time=STEP)
    assert ("reward" in run.progress.numbers) is shown


@pytest.mark.parametrize("phase", [["slow"], {"slow": 1}, None, 3])
def test_a_damaged_line_is_passed_over(phase: Any) -> None:
    run = Script().fast(0).slow(1).slow(2)
    known = run.left()
    run.progress.row({"step": 3, "phase": phase, "wall_s": 1.0}, written=run.wall)
    assert run.left() == known


def test_nothing_is_said_before_a_step_was_timed() -> None:
    assert Script().left() is None
    assert Script().fast(0).left() is None


@pytest.mark.parametrize(
    ("made", "late", "left"),
    [
        (None, 20, None),
        ((0, 96), 20, None),
        ((24, 96), 2, None),  # too early to tell
        ((24, 96), 20, Left(60 + 80, ("steps", "evaluations"))),  # of this phase, and the next one as a whole
        ((96, 96), 80, Left(80, ("steps", "evaluations"))),
    ],
)
def test_the_first_fast_phase_is_timed_by_its_own_pace(made: Any, late: float, left: Left | None) -> None:
    run = Script()
    run.progress.phase, run.progress.since, run.progress.made = "fast", run.wall, made
    assert run.progress.left(run.wall + late) == left


def test_so_is_the_first_evaluation() -> None:
    run = Script(eval_steps=0).fast(0).slow(1).slow(2).slow(3).fast(3).slow(4).slow(5).slow(6)
    assert run.left() == Left(0, ("evaluations",))
    run.progress.phase, run.progress.since, run.progress.made = "eval", run.wall, (20, 50)
    assert run.progress.left(run.wall + 8) == Left(12 + 2 * 4)  # then the base weights under two contexts of 4 s each


def test_each_kind_of_work_ahead_counts_at_its_own_price() -> None:
    run = Script().fast(0).slow(1).slow(2).slow(3)
    # Three steps, the fast phase before the fourth, evaluations after step 4 and at the end under the seed context and
    # four members, and at last the base weights under two contexts.
    assert run.left() == Left(3 * STEP + PHASE, without=("evaluations",))
    assert run.fast(3).slow(4).evaluate(4).left() == Left(2 * STEP + 7 * CONTEXT)
    assert run.slow(5).slow(6).evaluate(6).left() == Left(2 * CONTEXT)


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"mode": "rl"}, Left(5 * STEP, ("evaluations",))),
        ({"mode": "prompt_rl"}, Left(5 * STEP, ("evaluations",))),
        ({"mode": "rl_prompt"}, Left(5 * STEP, ("fast phases", "evaluations"))),
        ({"mode": "rl", "max_minutes": 0.5}, Left(15.0, limited=True)),
    ],
)
def test_what_is_left_goes_by_the_mode_and_the_time_that_it_may_take(changed: dict[str, Any], left: Left) -> None:
    assert Script(**changed).slow(1).left() == left


def test_a_fast_phase_that_rests_makes_the_next_ones_cheaper() -> None:
    run = Script(max_steps=12).fast(0).slow(1).slow(2).slow(3).row("fast", 3, 0.0).slow(4)
    assert run.left() == Left(8 * STEP + 2 * PHASE / 2, ("evaluations",))


def test_the_estimate_falls_with_the_clock_and_not_below_what_comes_after() -> None:
    run = Script(mode="rl").slow(1).slow(2)
    run.progress.phase = "rollout"
    known = [run.progress.left(run.wall + late) for late in (0, 4, 10, 1000)]
    assert [one.seconds for one in known if one] == [4 * STEP, 4 * STEP - 4, 3 * STEP, 3 * STEP]


def test_a_line_every_few_steps_says_the_same_of_steps_and_evaluations() -> None:
    often, seldom = Script(eval_steps=2), Script(eval_steps=2)
    often.fast(0).slow(1).slow(2).slow(3).fast(3).slow(4)
    seldom.fast(0).slow(2, steps=2).row("fast", 3, STEP + PHASE, **{"fst/fast/seconds": PHASE})
    seldom.row("eval", 4, STEP + 5 * CONTEXT).row("slow", 4, 0.1)
    often.evaluate(4)
    ours, theirs = often.left(), seldom.left()
    assert ours is not None and theirs is not None  # noqa: PT018
    assert theirs.seconds == pytest.approx(ours.seconds, rel=0.01)
    assert theirs.without == ours.without == ()


def test_tokens_of_both_channels_count_and_the_time_of_evaluations_does_not() -> None:
    run = Script().slow(1).evaluate(1).slow(2)
    assert run.progress.tokens_per_second == pytest.approx(100 / STEP)
    run.fast(2)
    assert run.progress.tokens_per_second == pytest.approx((100 + 600) / (STEP + PHASE))
    assert Script().slow(1).progress.tokens_per_second is None


def test_a_resumed_run_counts_the_tokens_since() -> None:
    """The first line of a new process has those of all processes before it."""
    run = Script()
    run.tokens = {"slow": 10**6, "fast": 10**6}
    assert run.fast(3).slow(4).progress.tokens_per_second == pytest.approx(100 / STEP)


def test_lead_is_the_context_that_leads_and_not_the_best() -> None:
    progress = Progress(Plan(1))
    best, lead = ({"context_id": c, "level": x, "low": 0.1, "high": 0.9} for c, x in (("a", 0.8), ("b", 0.6)))
    progress.standings({"lead": "b", "standings": [best, lead]})
    assert progress.lead == (0.6, 0.1, 0.9)
    progress.standings({"lead": "c", "standings": [best, lead]})
    assert progress.lead is None


@pytest.mark.parametrize(
    "row",
    [{}, {"phase": []}, {"phase": "slow", "step": "x"}, {"phase": "eval", "step": 1, "wall_s": "x", "tokens": [1]}],
)
def test_damaged_lines_say_nothing_and_raise_nothing(row: dict[str, Any]) -> None:
    run = Script(mode="rl").slow(1)
    before = run.left()
    run.progress.row(row, written=run.wall)
    run.progress.standings({"lead": [], "standings": [[], {"level": "x"}, None]})
    assert run.left() is not None
    assert (run.progress.step, before) == (1, Left(5 * STEP, ("evaluations",)))


def test_the_answers_that_a_summary_counts_live_through_a_checkpoint() -> None:
    recorder, resumed = Recorder(None), Recorder(None)
    recorder.given = {"lead": [("q1", "desk"), ("q1", "billing")]}
    resumed.load_state_dict(json.loads(json.dumps(recorder.state_dict())))
    assert resumed.given == recorder.given


def test_a_run_that_goes_on_knows_what_the_steps_before_it_took(tmp_path: Path) -> None:
    """What a kill undid does not count: the checkpoint is that of step 3."""
    script = Script().fast(0).slow(1).slow(2).slow(3)
    known = script.left()
    script.fast(3).slow(4).evaluate(4)
    run = RunDirectory.create(tmp_path / "run", "mode: fst\n")
    run.append("metrics.jsonl", script.rows)

    class Listening(SilentDisplay):
        def start(self, plan: Plan, title: str, done: int = 0) -> None:
            self.progress = Progress(plan, done)

        def row(self, row: Mapping[str, Any]) -> None:
            self.progress.row(row, script.wall)

    display = Listening()
    Recorder(run, display).begin(script.plan, "on", 3)
    assert known is not None
    assert display.progress.left(script.wall) == known
