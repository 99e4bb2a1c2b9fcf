"""A run over a data set larger than memory: the same batches in any order of calls, and after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from fastslow.streams.streamed import SourceStream
from fastslow.tasks.families import streamed
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.resolve import resolve_task
from tests.support.runs import tiny_settings


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(streamed, "HEAD", 24)
    monkeypatch.setattr(streamed, "BLOCK", 8)
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps({"question": f"What is {i} + {i}?", "answer": str(2 * i)}) for i in range(60)]
    file.write_text("\n".join(lines) + "\n")
    return f"hf:{file}?streaming=1&scorer=tests.support.runs:spread"


def settings(tmp_path: Path, task: str, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(tmp_path, task=task, **overrides))


def test_a_batch_is_a_function_of_the_step(task: str) -> None:
    stream = SourceStream(resolve_task(task), batch_size=3, seed=5)  # type: ignore[arg-type]
    forwards = [stream.batch(step) for step in range(30)]
    again = SourceStream(resolve_task(task), batch_size=3, seed=5)  # type: ignore[arg-type]
    assert [again.batch(step) for step in reversed(range(30))] == forwards[::-1]


def test_a_run_that_is_resumed_ends_as_the_unbroken_one(tmp_path: Path, task: str) -> None:
    """Over a checkpoint that names examples of its fast phases by their rows."""

    class Stopped(Exception):
        pass

    class Stopping(SilentDisplay):
        def step(self, step: int, logs: dict[str, Any]) -> None:
            if step == 3:
                raise Stopped

    run = {"max_steps": 6, "eval_strategy": "no"}
    whole = train(settings(tmp_path, task, output_dir=str(tmp_path / "whole"), **run), display=SilentDisplay())
    with pytest.raises(Stopped):
        train(settings(tmp_path, task, output_dir=str(tmp_path / "cut"), **run), display=Stopping())
    ended = resume(tmp_path / "cut", display=SilentDisplay())
    same = ("accuracy", "population", "rollouts", "tokens", "kl_to_base")
    assert {name: ended[name] for name in same} == {name: whole[name] for name in same}
    routes = [(tmp_path / name / "routes.jsonl").read_text() for name in ("whole", "cut")]
    assert routes[0] == routes[1]
    assert len({json.loads(line)["example_id"] for line in routes[0].splitlines()}) > 5


def test_what_needs_the_past_is_refused(tmp_path: Path, task: str) -> None:
    with pytest.raises(BadInput, match="leave rehearsal_share at 0"):
        train(settings(tmp_path, task, rehearsal_share=0.5), display=SilentDisplay())


def test_a_streamed_task_beside_others_is_refused(tmp_path: Path, task: str) -> None:
    own = {name: value for name, value in tiny_settings(tmp_path).items() if name not in ("task", "max_steps")}
    with pytest.raises(BadInput, match="is for one task"):
        train(FastSlowConfig(**own, tasks=["star_graph", task], stage_steps=2), display=SilentDisplay())


@pytest.mark.parametrize(
    "chosen", [{"mode": "rl"}, {"mode": "fst"}, {"mode": "prompt_rl"}, {"mode": "supervised"}, {"stream": "arrival"}]
)
def test_a_bundle_says_how_far_its_run_may_have_read(
    tmp_path: Path, task: str, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate leaves those rows out; lookaheads read further than training does."""
    read: list[int] = []
    at = StreamedTask.at

    def spy(self: StreamedTask, position: int, *, seed: int | None) -> Any:
        read.append(position)
        return at(self, position, seed=seed)

    monkeypatch.setattr(StreamedTask, "at", spy)
    train(settings(tmp_path, task, max_steps=3, **chosen), display=SilentDisplay())
    taken = json.loads((tmp_path / "run/bundle/bundle.json").read_text())["settings"]["questions_taken"]
    assert max(read) < taken <= max(read) + 1 + 2 * 12, "two steps of at most 3 x 4 questions are no great excess"
