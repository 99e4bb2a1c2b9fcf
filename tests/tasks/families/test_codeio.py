"""CodeI/O: recorded results, JSON compared as values, and no program run but by the one seam."""

from __future__ import annotations

import builtins
import functools
import json
import subprocess
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.sandbox import SandboxUnavailable
from fastslow.tasks.families import codeio
from fastslow.tasks.families.codeio import CodeioTask, ProgramFailed, load_programs
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.scoring import values
from tests.support.probes import check_survives

SPLITS = ("train", "validation", "test")


@functools.cache
def outputs() -> CodeioTask:
    return CodeioTask(train_size=150, validation_size=40, test_size=40)


def examples(task: CodeioTask) -> list[Example]:
    return [example for split in SPLITS for example in task.split(split)]


def with_output(output: Any, split: Any = "train") -> Example:
    return Example("1", "codeio", split, ({"role": "user", "content": "q"},), {"output": output, "inputs": {}})


def corrupt(value: Any) -> Any:
    """The value with its first leaf changed, or something put where nothing is."""
    if isinstance(value, dict):
        return {**value, (key := next(iter(value))): corrupt(value[key])} if value else {"new": 1}
    if isinstance(value, list):
        return [corrupt(value[0]), *value[1:]] if value else [1]
    if isinstance(value, bool) or value is None:
        return "no"
    return value + 1 + abs(value) // 1000 if isinstance(value, int | float) else value + "x"


def test_two_hundred_recorded_outputs_score_one_and_corrupted_ones_zero_with_the_place_named():
    for example in examples(outputs())[:200]:
        right = example.payload["output"]
        for text in (json.dumps(right), f"It follows:\n```json\n{json.dumps(right, indent=1)}\n```\n"):
            assert outputs().score(example, text).reward == 1.0, text
        verdict = outputs().score(example, json.dumps(corrupt(right)))
        assert verdict.reward == 0.0, f"{corrupt(right)} instead of {right}"
        assert example.split != "train" or "At $" in verdict.feedback, verdict.feedback


@pytest.mark.parametrize(
    ("right", "given", "said"),
    [
        ({"a": [1, {"b": 2}]}, '{"a": [1, {"b": 3}]}', "At $.a[1].b: 3 is off by +1."),
        ({"a": 1.5}, '{"a": 1.25}', "At $.a: 1.25 is off by -0.25."),
        ({"a": 1}, '{"a": "1"}', "At $.a: wrong type"),
        ({"a": 1}, '{"a": true}', "At $.a: wrong type"),
        ({"a": True}, '{"a": 1}', "At $.a: wrong type"),
        ({"a": 1, "b": 2}, '{"a": 1}', '"b" is missing'),
        ({"a": 1}, '{"a": 1, "b": 2}', '"b" does not belong'),
        ([1, 2], "[2, 1]", "At $[0]: 2 is off by +1."),
        ([1, 2], "[1, 2, 3]", "At $: 3 elements instead of 2."),
        ("ab", '"aB"', 'At $: "aB" instead of "ab".'),
        (1, "one", "not JSON"),
        (1, "NaN", "not JSON"),
        (1, "", "completion is empty"),
    ],
)
def test_feedback_names_the_first_difference_by_its_path(right, given, said):
    verdict = outputs().score(with_output(right), given)
    assert verdict.reward == 0.0
    assert said in verdict.feedback, verdict.feedback
    assert f"The right answer is '{json.dumps(right)}'." in verdict.feedback, "training examples show it"


@pytest.mark.parametrize(
    ("right", "given"),
    [
        ({"a": 1, "b": [None, "x"]}, ' {"b":[null,"x"],"a":1.0}\n'),
        (1 / 3, "0.33333333"),
        (1e20, "100000000000000000000"),
        (0.0, "-0"),
        ("\u00e9", '"\\u00e9"'),
        (10**30, str(10**30)),
    ],
)
def test_equal_values_written_differently_are_equal(right, given):
    assert outputs().score(with_output(right), given).reward == 1.0


def test_feedback_on_held_out_examples_does_not_depend_on_the_right_answer():
    rights = ({"secret": [1, 2]}, [3], "text", 4.5)
    for split in ("validation", "test"):
        for given in ("", "x", '{"secret": [1]}', '{"secret": 1}', "[3, 4]", '"tex"', "4", "```json\n{}\n```"):
            said = {outputs().score(with_output(right, split), given).feedback for right in rights}
            assert len(said) == 1, f"{given!r} is told {said}"


def test_scoring_and_building_run_no_code(monkeypatch):
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was executed")

    load_programs()
    task = outputs()
    for name in ("exec", "eval", "compile"):
        monkeypatch.setattr(builtins, name, forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    CodeioTask(train_size=5, validation_size=2, test_size=2)
    for example in examples(task)[:50]:
        assert task.score(example, "__import__('os').system('exit 1')").reward == 0.0
        assert task.score(example, json.dumps(example.payload["output"])).reward == 1.0


def test_any_text_is_judged_in_time():
    task = outputs()
    check_survives(task, examples(task), [json.dumps(e.payload["output"]) for e in examples(task)])


def test_no_program_stands_in_two_splits_in_either_direction():
    where: dict[str, set[str]] = {}
    for task in (CodeioTask(data_seed=3), inputs_task()):
        for example in examples(task):
            where.setdefault(example.payload["program"], set()).add(example.split)
    assert all(len(splits) == 1 for splits in where.values())


def test_sizes_seeds_and_difficulty_choose_among_the_same_examples():
    few, many = CodeioTask(train_size=20), CodeioTask(train_size=200)
    assert many.split("train")[:20] == few.split("train")
    assert CodeioTask(train_size=20, data_seed=1).split("train") != few.split("train")
    seven = CodeioTask(difficulty=7, train_size=100)
    easy = {row["code_sample"] for row in load_programs() if row["difficulty"] == 7}
    assert seven.name == "codeio?difficulty=7&direction=output"
    assert all(e.payload["program"] in easy for e in examples(seven))


def test_most_programs_of_the_library_have_recorded_results():
    assert len(load_programs()) == 1594, "another release of reasoning-gym: run scripts/codeio_pairs.py again"


# Input prediction. The runner here knows results and runs nothing: no test executes a program of the data.


def recorded(program: str, inputs: Any) -> Any:
    if inputs.get("say") == "fail":
        raise ProgramFailed("ValueError: say")
    if inputs.get("say") == "crash":
        raise OSError("no sandbox left")
    for row in load_programs():
        for known, output in row["pairs"]:
            if row["code_sample"] == program and known == inputs:
                return output
    return {"echo": 1}


@functools.cache
def inputs_task() -> CodeioTask:
    return CodeioTask("input", run=recorded, train_size=150, validation_size=40, test_size=40)


def test_input_prediction_without_isolation_is_refused(monkeypatch):
    def none() -> str:
        raise SandboxUnavailable("user namespaces are off.")

    monkeypatch.setattr(codeio, "isolation", none)
    with pytest.raises(BadInput, match=r"cannot isolate them \(user namespaces are off\.\)"):
        resolve_task("codeio?direction=input")


def test_the_sandbox_returns_what_was_recorded():
    """Real programs in the real sandbox, where this machine has one."""
    try:
        codeio.isolation()
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))
    pairs = [(row["code_sample"], *row["pairs"][0]) for row in codeio.load_programs()[:200:10]]
    for program, inputs, output in pairs:
        assert values.difference(output, codeio.sandboxed(program, inputs)) is None, program[:200]


def test_a_program_that_fails_or_never_ends_is_the_answers_fault():
    try:
        codeio.isolation()
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))
    with pytest.raises(codeio.ProgramFailed, match=r"error: .*ZeroDivisionError"):
        codeio.sandboxed("def main_solution(x):\n    return 1 / x", {"x": 0})
    with pytest.raises(codeio.ProgramFailed, match="timeout"):
        codeio.sandboxed("def main_solution(x):\n    while True: pass", {"x": 0})


def test_two_hundred_recorded_inputs_score_one_and_corrupted_ones_zero():
    task = inputs_task()
    for example in examples(task)[:200]:
        right = example.payload["inputs"]
        assert task.score(example, json.dumps(right)).reward == 1.0
        verdict = task.score(example, json.dumps({**right, "another": 1}))
        assert verdict.reward == 0.0
        assert example.split != "train" or 'The program has no parameter "another".' in verdict.feedback


def test_another_input_with_the_same_output_is_right_and_a_different_output_is_named():
    seen = []

    def double(program: str, inputs: Any) -> Any:
        seen.append((program, dict(inputs)))
        return [inputs["x"] * 2]

    task = CodeioTask("input", run=double, train_size=1, validation_size=1, test_size=1)
    payload = {"program": "p", "inputs": {"x": 2}, "output": [4]}
    example = Example("1", task.name, "train", ({"role": "user", "content": "q"},), payload)
    assert task.score(example, '{"x": 2}').reward == 1.0
    assert not seen, "the recorded input is known to be right"
    assert task.score(example, 'So:\n```json\n{"x": 2.0}\n```').reward == 1.0
    verdict = task.score(example, '{"x": 3}')
    assert seen == [("p", {"x": 3})]
    assert "returns something else. At $[0]: 6 is off by +2." in verdict.feedback
    assert 'The parameter "x" is missing.' in task.score(example, '{"y": 3}').feedback
    assert "must be an object" in task.score(example, "[3]").feedback
    assert len(seen) == 1, "what has the wrong keys is not run"


def test_a_failing_program_is_wrong_and_a_failing_sandbox_unscored():
    task = inputs_task()
    payload = {"program": "p", "inputs": {"say": "hello"}, "output": 1}
    example = Example("1", task.name, "train", ({"role": "user", "content": "q"},), payload)
    verdict = task.score(example, '{"say": "fail"}')
    assert (verdict.reward, "The program fails on this input" in verdict.feedback) == (0.0, True)
    verdict = task.score(example, '{"say": "crash"}')
    assert verdict.reward is None
    assert "OSError: no sandbox left" in verdict.info["unscored"]


def test_any_text_is_a_judged_input_in_time():
    task = CodeioTask("input", run=lambda *_: 0, train_size=50, validation_size=5, test_size=5)
    check_survives(task, examples(task), [json.dumps(e.payload["inputs"]) for e in examples(task)])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("codeio?direction=up", "'direction' must be one of output, input, got 'up'"),
        ("codeio?difficulty=x", "'difficulty' must be a whole number"),
        ("codeio?difficulty=1", "0 programs have difficulty 1"),
        ("codeio?dificulty=8", "no parameter 'dificulty'. Did you mean 'difficulty'?"),
        ("codeio:8", "takes parameters only"),
    ],
)
def test_bad_names_are_refused_in_one_line(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
