"""The form of right answers, where the wrong ones lack it."""

import pytest

from fastslow.fast.proposers.forms import FORMS, SHORT, forms_of
from fastslow.fast.proposers.instructions import compiled

from .helpers import parent, request, trace

WRONG = ["It is thirteen, I think.", "That makes 14.", "Well, let us see what it is.", "The sum of both is 15."]


def lines(right: list[str], wrong: list[str]) -> list[str]:
    known = [(f"What about {i}?", answer) for i, answer in enumerate(right)]
    traces = [trace(f"Asked {i}?", completion, 0.0) for i, completion in enumerate(wrong)]
    return [rule.line for rule in compiled(request(parent(), traces=traces, demonstrations=known))]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (["12", "-7", "1,000", "0.5"], WRONG, ["Answer with the number alone."]),
        (["red", "dark-blue", "green"], [w.lower() for w in WRONG], ["Answer with one word alone."]),
        ([r"\boxed{2}", r"So \boxed{x} it is.", r"\boxed{3}"], WRONG, [r"Put the final answer in \boxed{}."]),
        (["RED", "BLUE", "GREEN"], ["red", "blue", "pink"], ["Answer in capital letters."]),
        (["a cat", "the dog", "no cow"], ["A Cat", "The Dog", "A cow"], ["Answer in lower case."]),
        (["12", "7", "100"], ["", " \n", ""], ["Always give an answer."]),
        (["two words", "Of course", "a b c"], ["b d c e" * 20] * 3, ["Keep the answer short."]),
    ],
)
def test_a_form_that_only_right_answers_have_becomes_a_rule(right, wrong, expected):
    assert set(expected) <= set(lines(right, wrong))
    assert set(lines(right, wrong)) <= {*expected, SHORT}


def test_a_form_that_wrong_answers_have_as_well_says_nothing():
    assert lines(["12", "7", "100"], ["11", "8", "99"]) == []


def test_a_form_that_one_right_answer_in_four_lacks_is_no_rule():
    assert lines(["12", "7", "100", "a number"], WRONG) == [SHORT]


def test_two_right_answers_have_no_form_yet():
    assert forms_of(["1", "2"]) == []
    assert forms_of(["1", "2", "3"])


def test_own_answers_with_full_reward_show_the_form_as_well():
    traces = [trace(f"Asked {i}?", str(i) if i < 3 else f"It is {i}.", float(i < 3)) for i in range(6)]
    assert "Answer with the number alone." in [rule.line for rule in compiled(request(parent(), traces=traces))]


def test_the_case_of_formulas_and_objects_says_nothing():
    for right in ([r"\boxed{x}"] * 3, ['{"a": true}', '{"b": false}', "[]"]):
        assert not {form.rule for form in forms_of(right)} & {"Answer in lower case.", "Answer in capital letters."}


def test_rules_about_form_quote_no_answer():
    assert all(not any(char.isdigit() for char in form.rule) for form in FORMS)
