"""Rollouts to read: of the first and the last step, few, and of different rewards."""

from __future__ import annotations

from fastslow.report.questions.examples import LONGEST_TEXT, PER_CONTEXT, cut, shelves
from fastslow.report.reading.data import load_run
from tests.report.runs import FST, make_run, write_lines


def shown(folder, rows):
    make_run(folder, "fst", 1, FST)
    write_lines(folder / "rollouts.jsonl", rows)
    return shelves(load_run(folder))


def row(step, context, reward, **more):
    return {"step": step, "context_id": context, "reward": reward, "completion": f"{reward}", **more}


def test_the_first_and_the_last_step_are_shown_by_context(tmp_path) -> None:
    found = shown(tmp_path / "run", [row(step, context, 1.0) for step in (0, 5, 9) for context in ("a", "b")])
    assert [(shelf.step, shelf.context_id) for shelf in found] == [(0, "a"), (0, "b"), (9, "a"), (9, "b")]


def test_different_rewards_come_first_and_unscored_is_among_them(tmp_path) -> None:
    (shelf,) = shown(tmp_path / "run", [row(0, "a", reward) for reward in (0.5, 0.5, 0.5, None, 1.0)])
    assert [one.reward for one in shelf.examples] == [1.0, 0.5, None]
    assert len(shelf.examples) == PER_CONTEXT


def test_what_is_not_text_is_said_so_and_long_texts_are_cut(tmp_path) -> None:
    (shelf,) = shown(tmp_path / "run", [row(0, "a", 1.0, question={"a": 1}, feedback=None)])
    assert (shelf.examples[0].question, shelf.examples[0].feedback) == ("(not text)", "")
    assert cut("x" * (LONGEST_TEXT + 7)).endswith("(7 more characters)")
