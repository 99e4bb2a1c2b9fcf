"""What each scorer takes for the answer in a text, when it is right, and what its feedback names."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.scoring import SCORERS, choice, mathematics, scorer_named, verdict, watch

BOX = "\\boxed{%s}"


def judge(name: str, completion: str, gold: str):
    scorer = SCORERS.factory(name)()
    assert scorer.objection(gold) is None, "the gold can be scored against"
    return scorer.judge(completion, gold)


RIGHT = [
    *[("exact", " 12\n", "12"), ("exact", "a  b", "a  b")],
    *[("contains", "I say 12.", "12"), ("contains", "TWO\n words", "two words"), ("contains", "\uff21bc", "abc")],
    *[("regex", " 12 apples", r"\d+ apples?"), ("regex", "", "a*")],
    *[("number", "first 3, then 12", "12"), ("number", "It is $1,234.50.", "1234.5"), ("number", "0.333333", "1/3")],
    *[("number", "\\boxed{12} of 13", "12"), ("number", "<answer>\u22125</answer>", "-5"), ("number", "25%", "0.25")],
    *[("number", "12.0", "12"), ("number", "1.2e1", "12"), ("number", "12 kg", "12"), ("number", "-3/4", "-0.75")],
    *[("json", ' {"b": 2, "a": [1]} ', '{"a": [1.0], "b": 2}'), ("json", "so:\n```json\n[1]\n```\nyes", "[1]")],
    *[("json", "Think.\n[1, 2]", "[1, 2]"), ("json", "<answer>null</answer>", "null"), ("json", "0.1", "0.1000000001")],
    *[("choice", c, "B") for c in ("B", " (b) ", "**B.**", "B) two volts", "<answer>b</answer>", "\\boxed{B}")],
    *[("choice", "I think the answer is B because of A.", "B"), ("choice", "Answer: (B)", "B")],
    *[("boxed", "so " + BOX % "12", "12"), ("boxed", BOX % "1" + BOX % "12", "12"), ("boxed", BOX % "x = 12", "12")],
    *[("boxed", BOX % given, gold) for given, gold in [
        *[("0.5", r"\frac{1}{2}"), ("1/2", r"\dfrac12"), (r"2\sqrt{2}", r"\sqrt{8}"), ("1000", "1{,}000")],
        *[("x^2+2x+1", "(x+1)^2"), ("3<x", "x>3"), (r"(3,\infty)", "x>3"), (r"\{2,1\}", "1,2"), ("1,2", "(1, 2)")],
        *[(r"[2,3)\cup(-\infty,1]", r"(-\infty, 1] \cup [2, 3)"), ("east", r"\text{East}".replace("E", "e"))],
        *[("50", r"50\%"), ("90", r"90^\circ"), ("12", r"\boxed{12}"), ("1024", "2^{10}"), (r"\$12.", "12")],
        *[("y=2,x=1", "x=1, y=2"), (r"5\text{ cm}", "5"), (r"\left(1, \tfrac{1}{2}\right)", "(1,0.5)")],
    ]],
]  # fmt: skip
WRONG = [
    ("exact", "It is 12.", "12", "wrong value", "got 'It is 12.'"),
    ("exact", " ", "12", "no answer", "the completion is empty"),
    ("contains", "14, -4, 4.5, 4,000", "4", "wrong value", "does not stand in the completion"),
    ("regex", "twelve", r"\d+", "wrong value", "got 'twelve'"),
    ("number", "none", "12", "no answer", "no number in the completion"),
    ("number", "\\boxed{?} 12", "12", "no answer", "no number in the marked answer"),
    ("number", "12 or 13", "13", "unparsable", "no number that can be read"),
    ("number", "1\uff12", "12", "unparsable", "no number that can be read"),
    ("number", "12.000001", "12", "wrong value", "got '12.000001'"),
    ("number", "1/0", "12", "unparsable", "'1/0'"),
    ("json", "twelve", "12", "unparsable", "is not JSON (Expecting value at character 0)"),
    ("json", "NaN", "12", "unparsable", "NaN is no JSON number"),
    ("json", "1e999", "12", "unparsable", "too large"),
    ("json", '{"a": 1, "a": 1}', '{"a": 1}', "unparsable", "a key stands twice"),
    ("json", "[" * 60 + "]" * 60, "[]", "unparsable", "nested deeper than 50"),
    ("json", "9" * 500, "12", "unparsable", "a number of 500 digits"),
    ("json", "<answer></answer>[1]", "[1]", "no answer", "nothing stands"),
    ("choice", "hm", "B", "no answer", "no letter is named"),
    ("choice", "<answer>A or B</answer>", "B", "unparsable", "is not one letter"),
    ("choice", "<answer>\u0412</answer>", "B", "unparsable", "is not one letter"),
    ("choice", "C", "B", "wrong value", "got 'C'"),
    ("choice", "Z", "B", "unparsable", "not one of A, B, C"),
    ("boxed", "12", "12", "no answer", "there is no \\boxed{...}"),
    ("boxed", "\\boxed{12", "12", "no answer", "never closed"),
    ("boxed", BOX % " ", "12", "no answer", "the box is empty"),
    ("boxed", BOX % "12+", "12", "unparsable", "'12+' cannot be read"),
    ("boxed", BOX % r"\int x", "12", "unparsable", "the command \\int"),
    ("boxed", BOX % "9^{9^{9}}", "12", "unparsable", "powers too high"),
    ("boxed", BOX % "13", "12", "wrong value", "got '13'"),
    ("boxed", BOX % "2^{100}", "2^{100}-1", "wrong value", "got '2^{100}'"),
    ("boxed", BOX % "1 2", "12", "wrong value", "got '1 2'"),
    ("boxed", BOX % r"12\text{ or }13", "12", "wrong value", "got '12"),
    ("boxed", BOX % r"12\text{ or 13}", "12", "unparsable", "a number among words"),
    ("boxed", BOX % r"\frac{0}{0}", "12", "wrong value", "got"),
    ("boxed", BOX % "12=12", "12", "wrong value", "got '12=12'"),
    ("boxed", BOX % "n", "12", "wrong value", "got 'n'"),
    ("boxed", BOX % "[1,2]", "(1,2)", "wrong value", "got '[1,2]'"),
    ("boxed", BOX % "(2,1)", "(1,2)", "wrong value", "got '(2,1)'"),
    ("boxed", BOX % "1,2,3", "1,2", "wrong value", "got '1,2,3'"),
]


@pytest.mark.parametrize(("name", "completion", "gold"), RIGHT)
def test_right(name, completion, gold):
    assert judge(name, completion, gold).right


@pytest.mark.parametrize(("name", "completion", "gold", "defect", "said"), WRONG)
def test_wrong_names_the_defect(name, completion, gold, defect, said):
    judgement = judge(name, completion, gold)
    assert judgement.defect == defect, judgement
    assert said in judgement.said


HINTS = [
    ("json", '{"a": 1}', '{"b": 1}', 'At $: the key "b" is missing.'),
    ("json", '{"a": 1, "b": 1}', '{"b": 1}', 'At $: the key "a" does not belong there.'),
    ("json", '{"a": [1, "2"]}', '{"a": [1, 2]}', "At $.a[1]: wrong type, a text instead of a number."),
    ("json", "true", "1", "At $: wrong type, a truth value instead of a number."),
    ("json", "[1]", "[1, 2]", "At $: 1 elements instead of 2."),
    ("json", "[1, 2.5]", "[1, 4]", "At $[1]: 2.5 is off by -1.5."),
    ("json", '"a"', '"b"', 'At $: "a" instead of "b".'),
    ("exact", "It is 12.", "12", "reply with the answer alone"),
    ("exact", "Twelve", "twelve", "Only case"),
    ("boxed", BOX % "1,2,3", "1,2", "It has the form of 3 elements, the right answer of 2 elements."),
]


@pytest.mark.parametrize(("name", "completion", "gold", "hint"), HINTS)
def test_training_feedback_names_the_first_difference(name, completion, gold, hint):
    scorer = SCORERS.factory(name)()
    assert hint in verdict(scorer.judge(completion, gold), scorer, gold, "train").feedback
    assert hint not in verdict(scorer.judge(completion, gold), scorer, gold, "test").feedback


@pytest.mark.parametrize(
    ("name", "gold", "objection"),
    [
        ("exact", " ", "is empty"),
        ("contains", "\u200b", "nothing in it"),
        ("number", "twelve", "is not a number"),
        ("json", "{a: 1}", "is not JSON"),
        ("choice", "first", "is not one of"),
        ("boxed", "\\frac{1}{2", "braces that do not match"),
        ("regex", "(", "is not a regular expression"),
        ("regex", "a" * 2000, "more than 1000 characters"),
        ("regex", r"(?:(?:a|a?)+)+\d", "nested repeats"),
    ],
)
def test_a_gold_that_cannot_be_scored_against_is_objected_to(name, gold, objection):
    assert objection in (SCORERS.factory(name)().objection(gold) or "")


def test_a_pattern_that_runs_out_of_time_leaves_the_completion_unscored():
    scorer, pattern = SCORERS.factory("regex")(), r"(?:(?:z|z?)+)+\d"
    assert scorer.objection(pattern) is None, "no probe has a z"
    started = time.thread_time()
    judgement = scorer.judge("z" * 5_000 + "!", pattern)
    assert time.thread_time() - started < 0.2
    assert judgement.defect == "unscored"
    assert verdict(judgement, scorer, pattern, "train").reward is None


def test_answer_tags_alone_count_where_a_task_asks_for_them():
    scorer = choice.Choice("ABCD", tags_only=True)
    assert scorer.judge("B", "B").defect == "no answer"
    assert scorer.judge("A, no: <answer> b </answer>", "B").right
    assert scorer.judge("<answer>E</answer>", "B").defect == "unparsable"


def test_an_unknown_scorer_gets_the_nearest_name():
    with pytest.raises(BadInput, match=r"unknown scorer 'nubmer'\. Did you mean 'number'\?"):
        scorer_named("nubmer", "t")


def test_the_limit_of_processor_time_works_in_every_thread_and_leaves_nothing_behind():
    def spin() -> None:
        while True:
            with contextlib.suppress(Exception):  # as SymPy does; the limit must come through
                sum(range(100))

    raised = []

    def work() -> None:
        try:
            watch.within(0.05, spin)
        except TimeoutError as error:
            raised.append(str(error))
        sum(range(1_000_000))  # nothing arrives late

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    assert len(raised) == 3
    assert "0.05 s of processor time" in raised[0]
    started = time.monotonic()
    assert watch.within(0.01, lambda: time.sleep(0.1)) is None, "sleeping costs nothing"
    assert time.monotonic() - started >= 0.1


def test_a_tracer_goes_on_after_the_limit_was_watched():
    """A process of its own: where something is left behind, Python 3.11 never returns to it."""
    code = """
import sys
from fastslow.tasks.scoring.watch import within

def spin():
    while True:
        pass

for call in (lambda: None, spin):
    try:
        within(0.05, call)
    except TimeoutError:
        print("expired")
    sys.settrace(lambda *_: None)
    (lambda: None)()
    sys.settrace(None)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "expired\n"), ended.stderr


def test_mathematics_that_runs_out_of_time_is_unscored(monkeypatch):
    monkeypatch.setattr(mathematics, "SECONDS", 0.05)

    def for_ever(*_args, **_options):
        while True:
            pass

    _, verify, config = mathematics._math_verify()
    monkeypatch.setattr(mathematics, "_math_verify", lambda: (for_ever, verify, config))
    judgement = mathematics.Boxed().judge(r"\boxed{7+\sqrt{4712}}", "12")
    assert judgement.defect == "unscored"
    assert verdict(judgement, mathematics.Boxed(), "12", "train").reward is None
