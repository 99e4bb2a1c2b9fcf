import json
import time
from typing import Any

import pytest

from fastslow.contexts.context import Context
from fastslow.core.types import Example, Split
from fastslow.fast.proposers import HeldOut, proposal_problem
from fastslow.tasks.families.rows import Rows, RowsTask

from .helpers import example, parent

LONG_ANSWER = "the capital of France is Paris"
PARENT = parent(("What is 2 * 2?", "4"))
HELD_OUT = HeldOut(
    [
        example("What is 3 + 4?", "validation", "7"),
        example("Name the capital.", "test", LONG_ANSWER),
        example("good", "validation"),
        example("Sort: b a", "test", "a shared answer of some length"),
    ],
    [
        example("What is 3 + 4? Say why.", "train", "7"),
        example("Sort: a b", "train", "Well, a shared answer of some length."),
    ],
)


def problem(components: dict[str, str], **changes) -> str | None:
    settings: dict[str, Any] = {
        "parent": PARENT,
        "known_ids": {PARENT.id},
        "count_tokens": len,
        "max_tokens": 500,
        "held_out": HELD_OUT,
        "special_tokens": ["<|im_start|>", ""],
        **changes,
    }
    child = Context({**PARENT.components, **components})
    return proposal_problem(child, **settings)


def worked(question: str, answer: str) -> dict[str, str]:
    return {"examples": json.dumps([{"question": question, "answer": answer}])}


def assert_problem(found: str | None, expected: str) -> None:
    assert found is not None, f"accepted, but {expected!r} was expected"
    assert expected in found


def test_an_ordinary_edit_is_accepted():
    assert problem({"instruction": "Answer briefly, with a number."}) is None
    assert problem(worked("What is 5 * 5?", "25")) is None
    assert problem({"instruction": "Zwei Zeilen\n\tund 漢字 🙂\r\n"}) is None


def test_an_unchanged_child_is_refused():
    assert_problem(problem({}), "changes nothing")


def test_examples_in_another_layout_are_no_change():
    relaid = json.dumps(json.loads(PARENT.components["examples"]), indent=2)
    assert_problem(problem({"examples": relaid}), "changes nothing")


@pytest.mark.parametrize("blank", ["", " \n", "[]"])
def test_an_emptied_examples_component_is_refused(blank):
    assert_problem(problem({"examples": blank}), "empties 'examples'")


def test_an_emptied_instruction_is_refused():
    assert_problem(problem({"instruction": " \n "}), "empties 'instruction'")


def test_a_component_that_was_blank_all_along_may_stay_blank():
    bare = parent(instruction="")
    assert problem({"instruction": "", **worked("q?", "a")}, parent=bare) is None


def test_a_known_context_is_refused():
    child = Context({**PARENT.components, "instruction": "Known."})
    assert_problem(problem({"instruction": "Known."}, known_ids=[child.id]), "known")


def test_a_component_the_parent_lacks_is_refused():
    assert_problem(problem({"persona": "pirate"}), "persona")


def test_a_missing_component_is_refused():
    child = Context({"instruction": "x"})
    found = proposal_problem(
        child, parent=PARENT, known_ids=(), count_tokens=len, max_tokens=9, held_out=HELD_OUT, special_tokens=()
    )
    assert_problem(found, "examples")


@pytest.mark.parametrize(
    "text",
    ["not json", "{}", "[1]", '[{"question": "q"}]', '[{"question": "q", "answer": 3}]', "[" * 100_000, "9" * 5000],
)
def test_examples_of_another_shape_are_refused(text):
    assert problem({"examples": text}, max_tokens=10**6) is not None


@pytest.mark.parametrize(("question", "answer"), [(" ", "a"), ("q", "\n")])
def test_a_worked_example_with_a_blank_side_is_refused(question, answer):
    assert_problem(problem(worked(question, answer)), "blank")


def test_all_components_count_towards_the_token_cap():
    total = len(PARENT.components["examples"]) + 10
    assert problem({"instruction": "x" * 10}, max_tokens=total) is None
    assert_problem(problem({"instruction": "x" * 11}, max_tokens=total), f"{total + 1} tokens")


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x08", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_refused_in_text_and_inside_json_escapes(char):
    assert_problem(problem({"instruction": f"a{char}b"}), "control character")
    assert_problem(problem(worked("q", f"a{char}b")), "control character")


def test_special_tokens_are_refused_in_text_and_inside_json_escapes():
    assert_problem(problem({"instruction": "a<|im_start|>b"}), "<|im_start|>")
    escaped = worked("q", "a<|im_start|>b")["examples"].replace("<", "\\u003c")
    assert_problem(problem({"examples": escaped}), "<|im_start|>")


def test_a_held_out_question_is_refused_wherever_it_stands():
    assert_problem(problem({"instruction": "Note that What is 3\n+  4? gives 7."}), "held-out question")
    assert_problem(problem(worked(" What is  3 + 4?", "7")), "held-out question")
    assert_problem(problem(worked("First: What is 3 + 4?", "7")), "held-out question")
    assert_problem(problem(worked("q", "What is 3 + 4? is like this")), "held-out question")


def test_a_training_question_that_contains_a_held_out_one_may_be_shown():
    assert problem(worked("What is 3 + 4?  Say why.", "7")) is None


def test_a_held_out_question_inside_a_longer_word_or_number_is_no_copy():
    sums = HeldOut([example("3 + 4", "validation")])
    assert problem({"instruction": "13 + 4 and 3 + 45 are sums"}, held_out=sums) is None
    assert_problem(problem({"instruction": "13 + 4, then 3 + 4"}, held_out=sums), "held-out question")


def test_a_one_word_question_is_refused_only_as_a_whole_question():
    assert problem({"instruction": "Give a good answer."}) is None
    assert_problem(problem(worked("good", "positive")), "held-out question")


def test_a_long_held_out_answer_is_refused():
    assert_problem(problem({"instruction": f"Remember: {LONG_ANSWER}!"}), "held-out answer")
    assert_problem(problem(worked("q", LONG_ANSWER.replace(" ", "\n"))), "held-out answer")


def test_a_short_held_out_answer_is_no_copy():
    assert problem({"instruction": "Count to 7."}) is None


def test_an_answer_that_training_answers_hold_as_well_is_no_copy():
    assert problem(worked("Sort: a b", "a shared answer of some length")) is None


def test_thousands_of_held_out_examples_cost_milliseconds():
    many = HeldOut(
        [example(f"How much is {i} times {i + 1}?", "test", f"the answer to it is {i * (i + 1)}") for i in range(5000)],
        [example(f"How much is {i} plus {i + 1}?", "train", f"the sum of them is {2 * i + 1}") for i in range(5000)],
    )
    text = "Work step by step and check the result. " * 80
    seconds = []
    for i in range(5):
        start = time.perf_counter()
        assert problem({"instruction": f"{text}{i}"}, held_out=many, max_tokens=10**5) is None
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def conversation(*turns: str, split: Split = "train") -> Example:
    return Example("-".join(turns), "toy", split, tuple({"role": "user", "content": turn} for turn in turns))


CLOSING = "Answer with one number."
TALKS = HeldOut(
    [conversation("How many legs have 3 spiders?", CLOSING, split="test")],
    [conversation("How many legs have 5 spiders?", CLOSING)],
)


def test_a_closing_turn_that_every_conversation_has_makes_no_copy():
    shown = f"How many legs have 5 spiders?\n\n{CLOSING}"
    assert problem(worked(shown, "40"), held_out=TALKS) is None
    assert problem({"instruction": f"Obey this: {CLOSING}"}, held_out=TALKS) is None


def test_a_held_out_conversation_is_refused_and_so_is_the_turn_that_matters():
    copied = f"How many legs have 3 spiders?\n\n{CLOSING}"
    assert_problem(problem(worked(copied, "24"), held_out=TALKS), "held-out question")
    assert_problem(problem({"instruction": copied}, held_out=TALKS), "held-out question")
    assert_problem(problem({"instruction": "How many legs have 3 spiders? 24."}, held_out=TALKS), "held-out question")


@pytest.mark.parametrize(
    "text", ["WHAT IS 3 + 4?", "what is\u00a03 + 4?", "\uff37hat is 3 + 4?", "What is 3 + 4?\u200b"]
)
def test_a_held_out_question_in_other_case_or_form_is_refused(text):
    assert_problem(problem(worked(text, "7")), "held-out question")
    assert_problem(problem({"instruction": f"Note: {text}"}), "held-out question")


def test_a_training_question_may_be_shown_though_a_held_out_one_differs_in_case_alone():
    held_out = HeldOut([example("ASCII code of a", "test", "97")], [example("ASCII code of A", "train", "65")])
    assert problem(worked("ASCII code of A", "65"), held_out=held_out) is None
    assert_problem(problem(worked("ASCII code of a", "97"), held_out=held_out), "held-out question")


def test_a_long_answer_of_rows_of_data_is_held_out_as_well():
    gold = "the quick brown fox number "
    rows = [{"question": f"q{i}", "answer": f"{gold}{i}."} for i in range(10)]
    task = RowsTask("rows", "rows", Rows(list(enumerate(rows))))
    held_out = HeldOut(task.split("test"), task.split("train"))
    answer = task.split("test")[0].payload["row"]["answer"]
    assert_problem(problem({"instruction": f"Say: {answer}"}, held_out=held_out), "held-out answer")
