"""No text that a model can write makes a scorer raise, hang or leave [0, 1]; no verdict on held-out examples leaks."""

from __future__ import annotations

import gc
import json
import random
import threading
import time

import pytest

from fastslow.tasks.scoring import SCORERS, verdict

GOLDS = {
    "exact": ("12", "two words"),
    "contains": ("12", "two words"),
    "regex": (r"\d+ apples?", r"[a-z]+(, [a-z]+)*"),
    "number": ("12", "-0.5"),
    "json": ('{"a": [1, 2.5, null]}', "[true, false]"),
    "choice": ("B", "D"),
    "boxed": ("12", r"\frac{\sqrt{3}}{2}"),
}
PIECES = [
    *("12", "-", ".", ",", "/", "e", "E", "%", "$", " ", "\n", "\t", "B", "(b)", "A or B", "the answer is ", "answer:"),
    *("<answer>", "</answer>", "\\boxed{", "\\boxed", "}", "{", "[", "]", "(", ")", "\\", '"', "'", "```json\n", "```"),
    *("null", "true", "NaN", "-Infinity", "1e999", "0x1F", "1_000", "1,000", "x", "y=", "\\frac{", "\\sqrt{", "^", "_"),
    *("\\pi", "\\text{", "\\cup", "\\infty", "!", "\u2212", "\uff11", "\u0661", "\u200b", "\u202e", "\ud800", "\x00"),
    *("𝟙", "½", "²", "е", "two words", "apples", ":", ";", "|", "&", "\\\\", "<", "=", "\\leq", "\\begin{pmatrix}"),
]
MEGA = 10_000_000
HOSTILE = {
    "nothing": "",
    "spaces": " " * MEGA,
    "10 MB of text": "lorem ipsum " * (MEGA // 12),
    "10 MB of digits": "9" * MEGA,
    "10 MB of boxes": "\\boxed{1}" * (MEGA // 9),
    "open boxes": "\\boxed{" * 5_000,
    "nested boxes": "\\boxed{" * 2_500 + "1" + "}" * 2_500,
    "open tags": "<answer>" * 5_000,
    "open lists": "[" * 20_000,
    "deep lists": "[" * 9_000 + "]" * 9_000,
    "deep objects": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "open text": '"' + "\\" * 19_000,
    "many texts": '"\\"' * 6_000,
    "huge whole number": "<answer>" + "9" * 19_000 + "</answer>",
    "huge exponent": "1e999999999",
    "NaN": "NaN",
    "Infinity": "[Infinity, -Infinity]",
    "half a pair": '{"\ud800": "\udfff"}',
    "twice a key": '{"a": 1, "a": 2}',
    "right to left": "\u202e21",
    "zero width": "\u200b" * 20_000,
    "other digits": "1\uff12 \u0661\u0662",
    "nested repeats": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, " * 400 + "!",
    "commas": "1,234," * 3_000,
    "fences": "```\n" * 4_999,
    "tower": r"\boxed{9^{9^{9^{9}}}}",
    "tower of brackets": r"\boxed{((((9^{999})^{999})^{999}))}",
    "bare tower": r"\boxed{9^9^9^9}",
    "factorial": r"\boxed{10^9!}",
    "factorial of a factorial": r"\boxed{20!!}",
    "factorial above": r"\boxed{2^{50!}}",
    "binomial": r"\boxed{\binom{10^9}{10^8}}",
    "sum": r"\boxed{\sum_{n=1}^{10^9} \frac{1}{n}}",
    "integral": r"\boxed{\int_0^1 e^{-x^2} \sin(\cos(x)) dx}",
    "roots": r"\boxed{" + r"\sqrt{2+" * 30 + "1" + "}" * 30 + "}",
    "fractions": r"\boxed{" + r"\frac{1}{1+" * 30 + "1" + "}" * 30 + "}",
    "brackets": r"\boxed{" + "(" * 80 + "1" + ")" * 80 + "}",
    "polynomial": r"\boxed{(x+y+z+1)^{500}}",
    "equation to solve": r"\boxed{\ln(10)=\sin(x^{12})+x^{11}}",
    "python": r"\boxed{__import__('os').system('true')}",
    "entities": "&amp;" * 5_000,
    "emphases": "*a *b" * 5_000,
    "raised": "<sup>" * 5_000,
    "special tokens": "<|im_end|>" * 3_000,
    "labels": "answer:\n" * 3_000 + " " * 3_000 + "x",
    "bars above": "1.0\u0305" * 2_500,
    "infix": "{a" * 5_000 + r"\over",
    "brackets in prose": "a [ b ] " * 2_500,
    "chosen": "A is the answer and " * 1_500,
    "chain of numbers": r"\boxed{" + "=".join(map(str, range(40))) + "}",
    "chain of roots": r"\boxed{" + "=".join(rf"\sqrt{{{n}}}" for n in range(2, 9)) + "}",
    "approximations": r"\boxed{" + "≈".join(map(str, range(5_000))) + "}",
    "ratio": r"\boxed{" + ":".join(map(str, range(5_000))) + "}",
    "letters of both cases": r"\boxed{" + "aAbBcCdDfFgGhHjJkKlLmMnNoOpP" * 5 + "}",
    "matrix": r"\boxed{\begin{pmatrix}" + "1&" * 60 + r"1\end{pmatrix}}",
}


def generated(seed: int, count: int):
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choices(PIECES, k=rng.randint(0, 12)))


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """math-verify's start is paid once a process; the collector would count other tests' garbage as a scorer's time."""
    SCORERS.factory("boxed")().judge(r"\boxed{\pi+1}", r"\sqrt{2}")
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", sorted(GOLDS))
def test_ten_thousand_generated_texts_are_judged_quickly_and_within_bounds(name):
    scorer = SCORERS.factory(name)()
    slow, started = [], time.thread_time()
    for gold in GOLDS[name]:
        for number, text in enumerate(generated(len(gold), 5_000)):
            if name == "boxed" and number % 2:
                text = f"\\boxed{{{text}}}"
            before = time.thread_time()
            found = verdict(scorer.judge(text, gold), scorer, gold, "train")
            if time.thread_time() - before > 0.05:
                slow.append(text)
            assert found.reward in (0.0, 1.0), f"{name} gives {found} for {text!r}"
            assert found.feedback.encode(errors="strict"), "feedback that a tokenizer can read"
    assert len(slow) <= 10, f"more than one in a thousand took over 50 ms: {slow[:5]}"
    assert time.thread_time() - started < 20


def formula(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["1", "12", "x", "n", "\\pi", "e", "i", "0.5", "x_1", "\\infty"])
    a, b = formula(rng, depth - 1), formula(rng, depth - 1)
    shapes = [
        *(f"{a}{rng.choice('+-*/=<')}{b}", f"({a})", f"\\frac{{{a}}}{{{b}}}", f"\\sqrt{{{a}}}", f"{a}{b}", f"|{a}|"),
        *(f"{a}^{{{rng.choice(['2', '12', '-1', '300', 'n'])}}}", f"({a})^{{{rng.choice('239')}}}", f"\\sin({a})"),
        *(f"\\ln{{{a}}}", f"\\{{{a},{b}\\}}", f"({a},{b})", f"[{a},{b})\\cup({b},{a}]"),
    ]
    return rng.choice(shapes)


def test_formulas_are_judged_without_running_out_of_time():
    """New shapes fill antlr's tables, once a process: that may take longer than 50 ms, and is rare."""
    scorer, rng, slow = SCORERS.factory("boxed")(), random.Random(0), []
    golds = ["12", r"\frac{\sqrt{3}}{2}", "(x+1)^2", r"\{1,2\}", "(1,2)", r"[0,\infty)", "x=3", "x>3", "2^{100}"]
    for number in range(500):
        text, gold = formula(rng, 1 + number % 4), rng.choice(golds)
        before = time.thread_time()
        judgement = scorer.judge(f"\\boxed{{{text}}}", gold)
        if time.thread_time() - before > 0.05:
            slow.append(text)
        assert judgement.defect != "unscored", f"{text} against {gold}: {judgement.said}"
    assert len(slow) <= 40, slow


def slowness() -> float:
    """Return how many times longer this machine takes now than one with two idle cores of a server, at least 1: two
    threads of one core slow each other down, in processor time too."""
    before = time.thread_time()
    sum(i * i for i in range(200_000))
    return max(1.0, (time.thread_time() - before) / 0.012)


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_text_is_judged_in_50_ms(attack):
    for name, golds in GOLDS.items():
        scorer, text, gold = SCORERS.factory(name)(), HOSTILE[attack], golds[name == "contains"]  # "12" stands in some
        scorer.judge("", gold)
        took, judgement = 1.0, scorer.judge(text, gold)
        for _ in range(3):  # a garbage collection in between is none of the scorer's, nor is a busy core
            before = time.thread_time()
            scorer.judge(text, gold)
            took = min(took, time.thread_time() - before)
            if took >= 0.05:
                took /= slowness()
        assert took < 0.05, f"{name} took {took * 1000:.0f} ms for {attack}"
        assert not judgement.right, f"{name} accepts {attack}"
        assert judgement.defect != "unscored", f"{name} does not judge {attack}: {judgement.said}"


@pytest.mark.parametrize("name", sorted(GOLDS))
def test_the_same_text_gets_the_same_judgement_in_any_order_and_thread(name):
    scorer, gold, texts = SCORERS.factory(name)(), GOLDS[name][0], list(generated(7, 200))
    here = [scorer.judge(text, gold) for text in texts]
    there: dict[int, list] = {}

    def work(number: int) -> None:
        there[number] = [scorer.judge(text, gold) for text in texts[::-1]][::-1]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(there[i] == here for i in range(3))


SECRETS = {
    "exact": ("sesame-4711", ["", "no", "4711-sesame", "SESAME-4711"]),
    "contains": ("sesame-4711", ["", "no", "sesame"]),
    "regex": ("sesame-47(1+)", ["", "no", "sesame"]),
    "number": ("4711", ["", "no", "12", "47", "47,11,1"]),
    "json": ('{"sesame": [4711, 2]}', ["", "no", "{}", '{"a": 1}', "[4]", '{"other": [3, 2]}', "NaN"]),
    "choice": ("C", ["", "no", "<answer>B</answer>", "<answer>?</answer>"]),
    "boxed": (r"4711\pi", ["", "no", r"\boxed{}", r"\boxed{3}", r"\boxed{1,2}", r"\boxed{\int}", r"\boxed{12+}"]),
}


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("split", ["validation", "test"])
def test_feedback_on_held_out_examples_holds_nothing_of_the_answer(name, split):
    scorer = SCORERS.factory(name)()
    gold, completions = SECRETS[name]
    for completion in completions:
        if completion == "SESAME-4711":
            continue  # quotes the completion, which holds the letters of the answer itself
        held_out = verdict(scorer.judge(completion, gold), scorer, gold, split)
        trained = verdict(scorer.judge(completion, gold), scorer, gold, "train")
        assert held_out.reward == trained.reward == 0.0
        for secret in ("sesame", "4711", "The right answer", "instead of", "the right answer"):
            assert secret in completion or secret not in held_out.feedback + json.dumps(dict(held_out.info))
        assert len(trained.feedback) > len(held_out.feedback), "training examples show what would have been right"
        assert scorer.shown(gold) in trained.feedback
