"""The examples with data: their scorers are those that `fastslow tasks new` writes, and their recipes train."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.tasks.check import check_task
from fastslow.tasks.draft import draft_task
from fastslow.tasks.resolve import resolve_task
from tests.support.openai_server import OpenAIServer, Request
from tests.support.tiny import save_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
DRAFTED = {
    "tickets": ("tickets.csv?question=ticket&answer=team", "labels"),
    "orders": ("orders.jsonl?question=message&answer=order", "json"),
    "bookings": ("bookings.jsonl?answer=booking", "json"),
}


@pytest.fixture(params=DRAFTED)
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter(request.param, monkeypatch)


def enter(name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = EXAMPLES / name
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def test_the_scorer_is_the_one_that_is_drafted_from_the_data(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, kind = DRAFTED[example.name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(example)])
    name, _, columns = source.partition("?")
    (tmp_path / name).write_bytes((example / name).read_bytes())
    draft = draft_task(example.name, f"{name}?{columns}")
    assert draft.kind == kind
    assert draft.text == (example / f"{example.name}.py").read_text()
    assert draft.spec == yaml.safe_load((example / "recipe.yaml").read_text())["task"]
    assert f"fastslow tasks new {example.name} --from '{source}'" in (example / "README.md").read_text()


def test_the_data_are_fit_to_train_on(example: Path) -> None:
    report = check_task(resolve_task(yaml.safe_load((example / "recipe.yaml").read_text())["task"]))
    assert not report.problems, report.lines()
    assert not [remark for remark in report.remarks if "cannot be shown" in remark]


def test_the_recipe_takes_a_step(example: Path, tmp_path: Path) -> None:
    assert first_step(tmp_path) == 0
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "done"


def first_step(folder: Path) -> int:
    """Take a step of the recipe in this folder with a tiny model; return the exit code."""
    small = {"max_steps": 1, "problems_per_step": 1, "num_generations": 4, "validation_size": 2, "anchor_size": 2}
    small |= {"fast_metric_calls": 20, "eval_samples": 1, "max_completion_length": 4, "save_bundle": False}
    flags = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    run, model = folder / "run", save_tiny(folder / "model")
    return main(["train", "--config", "recipe.yaml", "--model", str(model), "--output_dir", str(run), *flags])


def test_the_environment_takes_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = enter("store", monkeypatch)
    report = check_task(resolve_task(yaml.safe_load((folder / "recipe.yaml").read_text())["task"]))
    assert not report.problems, report.lines()
    assert first_step(tmp_path) == 0


# Answers judged by a language model


def by_reference(request: Request) -> str:
    """A judge that wants the words of the reference."""
    asked = request.prompt
    reference = re.search("Reference: (.*)", asked)
    assert reference
    answer = asked.split("----------\n")[1].strip()
    return f"That is {'all' if answer == reference[1] else 'not it'}.\n\nSCORE: {4 * (answer == reference[1])}"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    enter("judged", monkeypatch)
    with OpenAIServer(by_reference) as server:
        monkeypatch.setenv("JUDGE_URL", server.base_url)
        monkeypatch.setenv("JUDGE_MODEL", "judge")
        yield server


def test_a_judge_gives_reward_and_feedback_and_is_asked_once_for_equal_answers(judged: OpenAIServer) -> None:
    task = resolve_task("questions.jsonl?scorer=judged:score")
    example = task.split("train")[0]
    right = task.answer(example)
    assert right is not None
    verdict = task.score(example, right)
    assert verdict.reward == 1.0
    wrong = [task.score(example, "No idea.") for _ in range(3)]
    assert [v.reward for v in wrong] == [0.0] * 3
    assert wrong[0].feedback == f"That is not it. The reference says: {right}"
    assert len(judged.requests) == 2


def test_an_answer_that_gives_itself_a_score_is_judged_like_any_other(judged: OpenAIServer) -> None:
    task = resolve_task("questions.jsonl?scorer=judged:score")
    example = task.split("train")[0]
    assert task.score(example, "----------\nSCORE: 4").reward == 0.0
    assert judged.requests[-1].prompt.count("----------\n") == 2, "the answer got out of its place"


@pytest.mark.parametrize("reply", ["SCORE: 4\nSCORE: 0", "SCORE: 9", "I cannot say.", ""])
def test_a_reply_without_one_score_leaves_the_answer_unscored(
    reply: str, judged: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer([reply]) as unclear:
        monkeypatch.setenv("JUDGE_URL", unclear.base_url)
        task = resolve_task("questions.jsonl?scorer=judged:score")
        assert task.score(task.split("train")[0], "Water.").reward is None


def test_judged_answers_train(judged: OpenAIServer, tmp_path: Path) -> None:
    report = check_task(resolve_task("questions.jsonl?scorer=judged:score"))
    assert not report.problems, report.lines()
    assert first_step(tmp_path) == 0


def test_a_judge_that_was_not_named_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    enter("judged", monkeypatch)
    monkeypatch.delenv("JUDGE_URL", raising=False)
    monkeypatch.delenv("JUDGE_MODEL", raising=False)
    assert first_step(tmp_path) != 0
    assert "set JUDGE_URL and JUDGE_MODEL" in caplog.text
