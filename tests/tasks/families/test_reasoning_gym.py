"""reasoning-gym generators as tasks: right answers pass, splits hold, errors explain, nothing hostile gets through."""

from __future__ import annotations

import functools
import json
import logging
import os
import random
import subprocess
import sys
import time
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reasoning_gym.factory import DATASETS, create_dataset

from fastslow.core.errors import BadInput
from fastslow.core.types import Verdict
from fastslow.tasks.families import screen
from fastslow.tasks.families.reasoning_gym import ReasoningGymTask
from fastslow.tasks.resolve import foreign_code, list_tasks, resolve_task

VARIED = (
    *("chain_sum", "gcd", "letter_counting", "word_sequence_reversal", "syllogism", "path_star", "codeio"),
    *("arc_1d", "list_functions", "prime_factorization", "graph_color", "maze", "figlet_font", "acre", "pool_matrix"),
)
CLOCK = {"codeio"}  # some of its programs read the clock: a question in a thousand differs from run to run
NO_GOLD = {"boxnet", "rush_hour"}  # the library knows no solution to their questions
SPLITS = ("train", "validation", "test")
DIGITS = "reasoning_gym:products?min_terms=2&max_terms=2&min_digits=1&max_digits=1"


@functools.cache
def small(generator: str, **options) -> ReasoningGymTask:
    sizes: dict[str, Any] = {"train_size": 12, "validation_size": 4, "test_size": 4, **options}
    return ReasoningGymTask(generator, **sizes)


def examples(task: ReasoningGymTask):
    return [example for split in SPLITS for example in task.split(split)]


@pytest.mark.parametrize("generator", VARIED)
def test_gold_answers_score_one_and_are_the_verified_answers(generator):
    task = small(generator)
    for example in examples(task):
        answer = task.answer(example)
        assert answer is not None, f"no verified answer to {example.question!r}"
        verdict = task.score(example, f"\n {answer} ")
        assert (verdict.reward, verdict.feedback) == (1.0, "Correct."), f"{answer!r} must be right: {verdict}"


@pytest.mark.parametrize("generator", VARIED)
def test_splits_are_full_disjoint_and_carry_no_system_turn(generator):
    task = small(generator)
    assert [len(task.split(split)) for split in SPLITS] == [12, 4, 4]
    ids = [example.id for example in examples(task)]
    assert len(set(ids)) == len(ids), "an example is in two splits"
    for split in SPLITS:
        assert all(e.split == split and e.task == task.name for e in task.split(split))
    assert all([m["role"] for m in e.messages] == ["user"] for e in examples(task))


@pytest.mark.parametrize("generator", sorted(set(VARIED) - CLOCK))
def test_a_second_construction_gives_the_same_examples(generator):
    again = ReasoningGymTask(generator, train_size=12, validation_size=4, test_size=4)
    assert examples(again) == examples(small(generator)), "equal names and options must give equal examples"


@pytest.mark.parametrize("generator", ["gcd", "syllogism", "acre"])
def test_train_size_changes_neither_ids_nor_held_out_examples(generator):
    larger = small(generator, train_size=60)
    ids = {split: [e.id for e in larger.split(split)] for split in SPLITS}
    for split in SPLITS:
        few = [e.id for e in small(generator).split(split)]
        assert ids[split][: len(few)] == few, f"{split} changed with train_size"


def test_another_data_seed_or_difficulty_never_trains_on_a_test_question():
    base = resolve_task(DIGITS)
    held_out = {e.question for split in ("validation", "test") for e in base.split(split)}
    other_seed = resolve_task(DIGITS, data_seed=7)
    harder = resolve_task("reasoning_gym:products?min_digits=1&max_digits=2", train_size=500)
    for task in (other_seed, harder):
        leaked = held_out & {e.question for e in task.split("train")}
        assert not leaked, f"{task.name} trains on held-out questions: {leaked}"
    assert held_out & {e.question for e in harder.split("test")}, "the harder task does draw such questions"


@pytest.mark.processes
def test_another_process_with_another_hash_seed_draws_the_same_examples():
    generators = ["gcd", "list_functions", "acre", "word_sequence_reversal"]
    code = (
        "import json; from fastslow.tasks.families.reasoning_gym import ReasoningGymTask as T\n"
        f"print(json.dumps({{g: [e.id for e in T(g, train_size=12, validation_size=4, test_size=4).split('train')]"
        f" for g in {generators}}}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = {g: [e.id for e in small(g).split("train")] for g in generators}
    assert json.loads(done.stdout) == here, "examples must not depend on the process"


def test_single_digit_products_are_found_completely(caplog):
    with caplog.at_level(logging.WARNING):
        task = ReasoningGymTask("products", {"max_digits": "1"})
    assert task.distinct == len(examples(task)) == 100, "there are 100 products of two digits"
    assert min(len(task.split(split)) for split in SPLITS) >= 15, "each held-out split gets about a fifth"
    assert task.duplicates > 0, "repeats must be counted"
    assert "only 100 distinct questions found" in caplog.text


def test_default_sizes_are_drawn_fast_enough():
    started = time.process_time()
    task = ReasoningGymTask("chain_sum")
    assert [len(task.split(split)) for split in SPLITS] == [1000, 64, 64]
    assert time.process_time() - started < 2.0, "an ordinary generator must be ready in 2 s"


def test_construction_leaves_the_process_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before, numpy_before = random.getstate(), cast(Any, np.random.get_state())[1].tolist()
    for generator in ("list_functions", "pool_matrix", "bf", "codeio"):
        ReasoningGymTask(generator, train_size=100 if generator == "codeio" else 5, validation_size=1, test_size=1)
    assert random.getstate() == before, "the global random state must be put back"
    assert cast(Any, np.random.get_state())[1].tolist() == numpy_before, "numpy's too"
    assert capsys.readouterr().out == "", "what generators print must not reach the terminal"
    assert not list(tmp_path.iterdir()), "codeio's programs must not write into the working directory"


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"composite"}))
def test_every_generator_builds_and_judges(name):
    task = ReasoningGymTask(name, train_size=1, validation_size=1, test_size=1)
    example = task.split("train")[0]
    assert (task.answer(example) is None) == (name in NO_GOLD), f"answer: {example.payload['answer']!r}"
    assert task.score(example, "I do not know (").reward == 0.0, "an ordinary wrong answer is wrong, not unscored"
    assert task.score(example, " \n").feedback.startswith("The answer is empty.")


def test_parameters_take_the_types_of_the_configuration():
    task = resolve_task(
        "reasoning_gym:basic_arithmetic?operators=+,-&format_style=natural&allow_parentheses=False&max_terms=3",
        train_size=30,
        validation_size=1,
        test_size=1,
    )
    assert not any(set("*/(") & set(str(e.payload["metadata"]["expression"])) for e in task.split("train"))
    dated = ReasoningGymTask(
        "time_intervals", {"min_date": "2020-01-01", "task_types": "date"}, train_size=1, validation_size=0, test_size=0
    )
    assert dated._config["min_date"].year == 2020
    upper = ReasoningGymTask(
        "word_sorting", {"transformation": "uppercase"}, train_size=5, validation_size=0, test_size=0
    )
    assert all(e.payload["answer"].isupper() for e in upper.split("train"))
    codeio = ReasoningGymTask("codeio", {"difficulty": "none"}, train_size=1, validation_size=0, test_size=0)
    assert codeio._config == {"difficulty": None}


def test_the_name_is_canonical():
    names = {resolve_task(f"reasoning_gym:gcd?{query}", train_size=2, validation_size=1, test_size=1).name
             for query in ("max_value=50&min_numbers=2", "min_numbers=2&max_value=50")}  # fmt: skip
    assert names == {"reasoning_gym:gcd?max_value=50&min_numbers=2"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("prodcts", ["no generator 'prodcts'", "Did you mean 'products'?"]),
        ("products?min_digit=2", ["no parameter 'min_digit'", "Did you mean 'min_digits'?"]),
        ("products?min_digits=two", ["'min_digits' must be a whole number, got 'two'"]),
        ("products?min_digits=1.5", ["must be a whole number"]),
        ("products?allow_negation=maybe", ["'allow_negation' must be true or false, got 'maybe'"]),
        ("number_format?max_delta=nan", ["'max_delta' must be a finite number"]),
        ("basic_arithmetic?format_style=odd", ["one of simple, natural, got 'odd'"]),
        ("word_sorting?transformation=upper", ["one of", "uppercase"]),
        ("time_intervals?min_date=yesterday", ["an ISO date"]),
        ("products?min_digits=0", ["refuses these parameters", "min_digits must be positive"]),
        ("products?min_digits=5&max_digits=2", ["max_digits must be >= min_digits"]),
        ("products?seed=3", ["'seed' is not given in the name", "data_seed instead"]),
        ("products?size=3", ["'size' is not given in the name", "train_size"]),
        ("products?strict=perhaps", ["'strict' must be true or false"]),
        ("arc_agi?board_format_opts=x", ["cannot be written in a name", "leave it out"]),
        ("advanced_geometry?task_types=foo", ["failed on entry 0", "Unknown task_type: foo"]),
        ("composite", ["mixes other generators"]),
        ("figlet_font?static_word=hi&static_font=standard", ["too few"]),
    ],
)
def test_a_bad_name_is_refused_in_one_line_that_says_how_to_mend_it(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(f"reasoning_gym:{spec}")
    message = str(caught.value)
    assert "\n" not in message, "one line"
    assert spec.partition("?")[0] in message, "it names the task"
    for part in said:
        assert part in message, f"{part!r} is missing from: {message}"


def test_feedback_on_training_examples_says_what_was_wrong_and_what_is_right():
    task = resolve_task(DIGITS)
    example = next(e for e in task.split("train") if e.payload["answer"] == "12")
    expected = {
        "12": "Correct.",
        "": "The answer is empty. The right answer is '12'.",
        "The answer is 12.": "Right answer but surrounded by other text; reply with the answer alone. "
        "The right answer is '12'.",
        "13": "Answered '13', wrong. The right answer is '12'.",
        "-12": "Answered '-12', wrong. The right answer is '12'.",
        "112": "Answered '112', wrong. The right answer is '12'.",
        "12.5": "Answered '12.5', wrong. The right answer is '12'.",
        "y" * 300: f"Answered '{'y' * 200}...', wrong. The right answer is '12'.",
        "a\x00b": "Answered 'a\N{REPLACEMENT CHARACTER}b', wrong. The right answer is '12'.",
    }
    for completion, feedback in expected.items():
        assert task.score(example, completion).feedback == feedback


@given(st.text(alphabet="abc XYZ\n.,", max_size=30), st.sampled_from(VARIED), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_feedback_never_reveals_the_answer_outside_training(noise, generator, index):
    task = small(generator)
    for split in ("validation", "test"):
        example = task.split(split)[index]
        gold = task.answer(example) or ""
        feedback = task.score(example, noise).feedback
        if task.score(example, noise).reward != 1.0:
            said = feedback.replace(f"'{noise.strip()}'", "")
            assert said in ("The answer is empty.", "Answered , wrong."), f"more than the completion itself: {feedback}"
        padded = task.score(example, f"It may be {gold} or not").feedback
        assert padded.startswith("Answered 'It may be"), f"whether the answer stands in the text is told: {padded}"


def test_partial_credit_is_given_only_when_asked_for():
    strict, lenient = resolve_task(DIGITS), resolve_task(DIGITS + "&strict=false")
    example = next(e for e in strict.split("train") if e.payload["answer"] == "12")
    assert strict.score(example, "it is 12").reward == 0.0
    assert lenient.score(example, "it is 12").reward == pytest.approx(2 / 8), "the library's own partial credit"
    assert lenient.name.endswith("&strict=false"), "the name tells the two apart"


HOSTILE = (
    *("A" * 10_000_000, "9" * 30_000, "(" * 15_000, "[" * 15_000, "-" * 15_000 + "1", '{"a":' * 3_000),
    *(
        "\x00\x01\x1b[2J",
        "\ud800",
        "1e999999",
        "nan",
        "-inf",
        "1/0",
        "null",
        "{}",
        "[[1],[2]]",
        '[{"a": 1}]',
        "¬" * 5_000,
    ),
    *("9**9**9**9", "99999999!", "exp(exp(exp(100)))", "((((x**99)**99)**99)**99)", "9**(100/(1/100))"),
    *("__import__('os').system('exit 1')", "(lambda: 1)()", "[0]*10**10", "self", "oracle_answer", "sin(1e999999999)"),
)


@pytest.mark.parametrize(
    "generator",
    sorted(
        {*VARIED, *screen.EVALUATES_LITERALS, *screen.EVALUATES_SYMPY, *screen.RAISES_WHEN_MALFORMED, *screen.CLOSES}
    ),
)
def test_hostile_completions_are_judged_quickly_and_never_raise(generator):
    task = small(generator, train_size=1, validation_size=0, test_size=0)
    example = task.split("train")[0]
    for completion in HOSTILE:
        started = time.process_time()
        verdict = task.score(example, completion)
        assert verdict.reward == 0.0, f"{completion[:40]!r}: {verdict}"
        assert time.process_time() - started < 2.0, f"{completion[:40]!r} took too long"


@given(st.text(max_size=60), st.sampled_from(VARIED))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_reward_in_range_or_is_unscored(text, generator):
    verdict = small(generator).score(small(generator).split("test")[0], text)
    assert verdict.reward is None or 0.0 <= verdict.reward <= 1.0


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda *_: 1 / 0, "the scorer raised ZeroDivisionError"),
        (lambda *_: float("nan"), "outside [0, 1]"),
        (lambda *_: 1.5, "outside [0, 1]"),
        (lambda *_: -0.1, "outside [0, 1]"),
        (lambda *_: "1", "returned str, not a number"),
        (lambda *_: None, "returned NoneType, not a number"),
    ],
)
def test_a_failing_scorer_leaves_the_rollout_unscored_and_is_logged_once(broken, reason, monkeypatch, caplog):
    task = ReasoningGymTask("gcd", train_size=1, validation_size=1, test_size=1)
    monkeypatch.setattr(task._dataset, "score_answer", broken)
    with caplog.at_level(logging.WARNING):
        verdicts = [task.score(task.split("train")[0], "4") for _ in range(3)]
    assert all(v.reward is None and reason in v.info["unscored"] for v in verdicts), verdicts
    assert len(caplog.records) == 1, "one line for one reason"


def test_scoring_that_never_ends_is_unscored_even_if_the_scorer_swallows_the_alarm(monkeypatch):
    def stuck(*_):
        try:
            while True:
                pass
        except:  # noqa: E722  (as in the library's integration scorers)
            return 0.0

    monkeypatch.setattr(screen, "SCORING_SECONDS", 0.1)
    task = ReasoningGymTask("gcd", train_size=1, validation_size=1, test_size=1)
    monkeypatch.setattr(task._dataset, "score_answer", stuck)
    verdict = task.score(task.split("train")[0], "4")
    assert verdict.reward is None, "time running out is no judgement"
    assert "took longer than 0.1 s" in verdict.info["unscored"]


def test_generators_that_follow_the_hash_seed_say_so(caplog, monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with caplog.at_level(logging.WARNING):
        ReasoningGymTask("ransom_note", train_size=1, validation_size=1, test_size=1)
    assert "set PYTHONHASHSEED=0" in caplog.text


def test_every_generator_is_listed_with_a_description():
    listed = dict(list_tasks())
    assert {name for name in listed if name.startswith("reasoning_gym:")} == {
        f"reasoning_gym:{name}" for name in DATASETS if name != "composite"
    }
    assert listed["reasoning_gym:products"] == "Generates multiplication tasks with configurable number of terms"
    assert all(line.strip() and "\n" not in line for line in listed.values())


def test_a_scorer_of_ours_can_judge_in_the_librarys_place():
    task = resolve_task("reasoning_gym:chain_sum?max_digits=1&max_terms=2&scorer=number", train_size=8)
    assert task.name == "reasoning_gym:chain_sum?max_digits=1&max_terms=2&scorer=number"
    strict = resolve_task("reasoning_gym:chain_sum?max_digits=1&max_terms=2", train_size=8)
    example = task.split("train")[0]
    gold = example.payload["answer"]
    assert task.answer(example) == gold
    talked = f"The answer is {gold}."
    assert task.score(example, talked).reward == 1.0
    assert strict.score(strict.split("train")[0], talked).reward == 0.0
    wrong = task.score(example, f"The answer is {int(gold) + 1}.")
    assert wrong.reward == 0.0
    assert gold in wrong.feedback
    held_out = task.split("validation")[0]
    assert held_out.payload["answer"] not in task.score(held_out, "It is 1000.").feedback
    with pytest.raises(BadInput, match="Did you mean 'number'"):
        resolve_task("reasoning_gym:chain_sum?scorer=numbr")


def test_a_function_of_the_users_can_judge_in_the_librarys_place(tmp_path, monkeypatch):
    (tmp_path / "pk").mkdir()
    (tmp_path / "pk/m.py").write_text(
        "def score(completion, row):\n"
        "    return float(row['answer'] in completion), f\"{sorted(row)} {row['answer']}\"\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "reasoning_gym:products?max_digits=1&scorer=pk.m:score"
    task = resolve_task(name, train_size=8)
    example, held_out = task.split("train")[0], task.split("validation")[0]
    gold = example.payload["answer"]
    assert task.answer(example) == gold
    assert foreign_code(task.name) == "the scorer 'pk.m:score'"
    assert task.score(example, f"It is {gold}.") == Verdict(1.0, f"['answer', 'metadata', 'question'] {gold}")
    assert task.score(held_out, "none").feedback == "Wrong."
    with pytest.raises(BadInput, match=r"'pk.m' has no 'scor'"):
        resolve_task("reasoning_gym:products?scorer=pk.m:scor")


def test_a_question_whose_answer_is_empty_is_left_out():
    asked = create_dataset("ab", length=4, seed=1, size=300)
    assert any(not entry["answer"] for entry in asked), "the library asks such questions"
    for scorer in (None, "exact"):
        task = ReasoningGymTask("ab", {"length": "4"}, train_size=60, validation_size=0, test_size=0, scorer=scorer)
        assert all(task.answer(example) for example in task.split("train")), "every question can be won"


@pytest.mark.parametrize(
    ("generator", "scorer", "reason"),
    [("syllogism", "number", "is not a number"), ("syllogism", "json", "is not JSON"), ("ab", "choice", "is not")],
)
def test_a_scorer_that_can_judge_no_answer_of_a_generator_is_refused_with_the_reason(generator, scorer, reason):
    with pytest.raises(BadInput, match=f"no completion can be right: the answer .*{reason}") as caught:
        ReasoningGymTask(generator, train_size=5, validation_size=0, test_size=0, scorer=scorer)
    assert "\n" not in str(caught.value)
