"""Several tasks as one, and one after another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Verdict
from fastslow.streams import ScheduledStream, Setting, make_schedule
from fastslow.streams.epochs import EpochStream, lookahead
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.task_set import TaskSet, by_task

NAMES = ("reasoning_gym:gcd", "star_graph?degree=2&ids=10&path=2")


@pytest.fixture(scope="module")
def both() -> TaskSet:
    return TaskSet([resolve_task(name, train_size=6, validation_size=4, test_size=2) for name in NAMES])


def test_each_example_is_scored_by_the_task_it_came_from(both):
    for split in ("train", "validation", "test"):
        examples = both.split(split)
        assert len({e.id for e in examples}) == len(examples)
        assert list(by_task(both, examples)) == list(both.tasks)
    for name, examples in by_task(both, both.split("train")).items():
        assert len(examples) == 6
        for example in examples:
            assert example.task == name
            assert both.score(example, both.answer(example)).reward == 1.0
            assert both.score(example, "no").reward == 0.0


def test_ids_that_two_tasks_share_are_kept_apart():
    def task(name: str, reward: float) -> Any:
        example = Example("same", "anything", "train", ({"role": "user", "content": name},))
        return SimpleNamespace(
            name=name, split=lambda split: [example], score=lambda e, text: Verdict(reward, e.id), answer=lambda e: None
        )

    tasks = TaskSet([task("a", 0.0), task("b", 1.0)])
    verdicts = [tasks.score(example, "") for example in tasks.split("train")]
    assert [(v.reward, v.feedback) for v in verdicts] == [(0.0, "same"), (1.0, "same")], "each by its own name"


def test_a_task_given_twice_is_refused(both):
    with pytest.raises(BadInput, match="given twice"):
        TaskSet([next(iter(both.tasks.values()))] * 2)


def test_a_file_given_twice_is_refused_however_its_path_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(
        "".join(f'{{"question": "{i}", "answer": "{i}", "twin": "x{i}"}}\n' for i in range(9))
    )
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    for other in ("jsonl:./a.jsonl", f"jsonl:{tmp_path}/a.jsonl", "jsonl:link.jsonl"):
        with pytest.raises(BadInput, match=r"task 'jsonl:.*' is given twice"):
            TaskSet([resolve_task("jsonl:a.jsonl"), resolve_task(other)])
    TaskSet([resolve_task("jsonl:a.jsonl"), resolve_task("jsonl:./a.jsonl?answer=twin")])  # other answers, another task


def test_stages_follow_one_another_and_the_last_goes_on(both):
    setting = Setting(tasks=2, stage_steps=3, batch_size=2, seed=0)
    tasks = list(by_task(both, both.split("train")).values())
    stream = ScheduledStream(make_schedule("", setting), tasks, setting)
    seen = [[e.task for e in stream.batch(step)] for step in range(8)]
    first, second = both.tasks
    assert seen == [[first] * 2] * 3 + [[second] * 2] * 5
    own = EpochStream(tasks[1], batch_size=2, seed=0)
    assert [e.id for e in stream.batch(3)] == [e.id for e in own.batch(0)], "a stage starts at its beginning"
    assert {e.task for e in lookahead(stream, 2, 2)} == {first, second}
