r"""Answers that public reports say are misjudged, and others of the same kinds.

A wrong answer must not be rewarded because a part of it is right, because both values are small, or because a draft
stands where the answer should.
"""

from __future__ import annotations

import pytest

from fastslow.tasks.scoring import SCORERS

F = "```"


def judged(name: str, gold: str, completion: str) -> str:
    scorer = SCORERS.factory(name)()
    assert scorer.objection(gold) is None, "the gold can be scored against"
    return scorer.judge(completion, gold).defect


SMALL = (
    ("3", r"0.10000001\cdot30"),
    *((r"1.6\times10^{-19}", r"-1.6\times10^{-19}"), (r"1.6\times10^{-19}", r"1.7\times10^{-19}"), (r"10^{-30}", "0")),
    *(
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
        (r"\frac1{20!}", r"\frac1{19!}"),
        (r"\frac{\pi}{10^{20}}", r"\frac{e}{10^{20}}"),
    ),
    *(
        (r"\{10^{-19},1\}", r"\{2\cdot10^{-19},1\}"),
        (r"(10^{-19},1)", r"(-10^{-19},1)"),
        ("x>10^{-19}", r"x>2\cdot10^{-19}"),
    ),
    *((r"x=10^{-19}", r"x=2\cdot10^{-19}"), (r"10^{-20}x", r"2\cdot 10^{-20}x"), (r"10^{-20}+i", r"-10^{-20}+i")),
    *(
        (r"\begin{pmatrix}10^{-19}\\2\end{pmatrix}", r"\begin{pmatrix}2\cdot10^{-19}\\2\end{pmatrix}"),
        ("2^{100}", "2^{100}-1"),
    ),
    *(
        (r"\begin{pmatrix}0.0000001\\2\end{pmatrix}", r"\begin{pmatrix}0.0000002\\2\end{pmatrix}"),
        (r"\pi2^{100}", r"\pi(2^{100}-1)"),
    ),
    *((r"\sin x", r"\sin(x+10^{-12})"), (r"\frac13", r"\frac{333333}{1000000}"), ("0.1x", "0.10000001x")),
)


@pytest.mark.parametrize(("gold", "given"), SMALL)
def test_boxed_has_no_absolute_floor(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") in ("wrong value", "unparsable")


@pytest.mark.parametrize(("gold", "given"), [("1e-13", "2e-13"), ("0", "1e-400"), ("1", "1.00000000000000000001")])
def test_json_compares_numbers_without_a_floor_and_without_rounding(gold: str, given: str) -> None:
    assert judged("json", gold, given) in ("wrong value", "unparsable")


@pytest.mark.parametrize("given", ["1e-400", "[1e-400]", "1e400"])
def test_json_numbers_that_no_float_holds_are_unparsable(given: str) -> None:
    assert judged("json", "0", given) == "unparsable"


@pytest.mark.parametrize(
    ("gold", "given"),
    [(r"\frac{x}{10}", "0.1x"), (r"\frac{\sqrt{2}}{10}", r"0.1\sqrt{2}"), ("x>0.1", r"x>\frac{1}{10}")],
)
def test_decimals_in_an_expression_are_exact(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize("given", ["12", "12_{9}", "10", "-12_{8}", "13_{8}"])
def test_a_number_in_another_base_is_another_answer(given: str) -> None:
    assert judged("boxed", "12_{8}", f"\\boxed{{{given}}}") != "none"


@pytest.mark.parametrize("given", ["12_{8}", "12_8", "(12)_8", r"12_{\text{eight}}", "12₈"])
def test_a_number_in_the_same_base_is_the_answer(given: str) -> None:
    assert judged("boxed", "12_{8}", f"\\boxed{{{given}}}") == "none"


WHOLE = (
    *(
        ("1000", r"\boxed{1{,}000}"),
        ("1000", r"1\,000"),
        ("1000", "1\u202f000"),
        ("1000", "1'000"),
        ("50%", r"\boxed{50\%}"),
    ),
    *(
        ("300", r"3 \times 10^2"),
        ("5.5", "The answer is 5 1/2."),
        ("0.5", r"\boxed{\frac{1}{2}}"),
        ("5.5", r"5\frac12"),
    ),
    *(
        ("20", "20 cm²"),
        ("20", r"\boxed{20\text{ cm}^2}"),
        ("-5", "negative 5"),
        ("12", "答えは12です"),
        ("1e30", "10³⁰"),
    ),
    *(("100000", "1,00,000"), ("3000000", "3 million"), ("7", "3 + 4 = 7"), ("12", "**12**"), ("0.05", "5 percent")),
)


@pytest.mark.parametrize(("gold", "completion"), WHOLE)
def test_a_number_is_read_as_a_whole(gold: str, completion: str) -> None:
    assert judged("number", gold, completion) == "none"


PART = (
    *(
        ("2", r"\boxed{\frac{1}{2}}"),
        ("0.5", "The answer is 5 1/2."),
        ("0", r"\boxed{1{,}000}"),
        ("2", r"\boxed{\sqrt{2}}"),
    ),
    *(("3", "2^3"), ("3", "x^3"), ("5", "3-5"), ("30", "12:30"), ("5", "minus 5"), ("5", "2 * 5"), ("2", "20 cm^2")),
    *(("4", "3 x 4"), ("3", "x = 5 or x = 3"), ("3", "3 million"), ("3", "3万"), ("3", r"3\pi"), ("8", "12_{8}")),
    *(("8", "12 base 8"), ("3", "1, 2, 3"), ("4", "GPT-4"), ("10", "7 out of 10"), ("16", "square root of 16")),
    *(("123", "0,123"), ("3", "2 +\n3"), ("3", "3!"), ("3", r"\boxed{x > 3}"), ("3", "<think>3</think>I give up")),
)


@pytest.mark.parametrize(("gold", "completion"), PART)
def test_a_part_of_a_number_is_not_the_answer(gold: str, completion: str) -> None:
    assert judged("number", gold, completion) != "none"


LISTS = (
    *(("1,2", r"x=1 \text{ or } x=2"), ("1,2", r"1 \text{ and } 2"), ("1,2", "x=1, x=2"), ("1,2", "x = 1 or x = 2")),
    *(
        (r"1 \text{ and } 2", "2, 1"),
        ("1 or 2", r"\{2;1\}"),
        ("1,2", r"x_1=1,\ x_2=2"),
        ("1,2", "x=1,2"),
        ("1,2", r"x\in\{1,2\}"),
    ),
    *(
        ("2,-2", r"\pm 2"),
        (r"x=1\text{ or }x=2", "1, 2"),
        (r"\{100,200\}", "100, 200"),
        (r"x<1\text{ or }x>2", "x>2 or x<1"),
    ),
)


LISTS += (
    *((r"\mathbb{R}", r"(-\infty,\infty)"), (r"\{1,2\}", "{1,2}"), ("x=1,y=2", "(x,y)=(1,2)"), ("(1,2)", "x=1,y=2")),
    *(("(1,2)", "(x,y)=(1,2)"), ("1,2,3", "1, 2, and 3")),
)


@pytest.mark.parametrize(("gold", "given"), LISTS)
def test_boxed_reads_every_joiner_of_a_list(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        *(("1,2", r"1 \text{ or } 3"), ("1,2", "x=1, y=2"), (r"x<1\text{ or }x>2", "x<1, x>2"), ("1,2", "[1,2)")),
        *(
            ("[1,2)", "1,2"),
            ("1,2", "(2,1)"),
            ("2", r"\pm 2"),
            ("100,200", r"\{100,200\}"),
            ("x_1=1,x_2=2", "x_1=2,x_2=1"),
            ("(1,2)", "x=2,y=1"),
            ("(1,2)", "(x,y)=(2,1)"),
        ),
    ],
)
def test_another_list_or_another_joiner_is_wrong(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") != "none"


@pytest.mark.parametrize(
    "completion",
    [
        *(
            r"\boxed{\text{B}}",
            "<answer>$B$</answer>",
            r"\boxed{\textbf{(B)}}",
            r"<answer>\boxed{B}</answer>",
            "（Ｂ）",
            "【B】",
        ),
        *(r"<answer>\(B\)</answer>", r"\boxed{\mathrm{B}}", "答案是B。", "정답은 B입니다", "<answer>Option B</answer>"),
    ],
)
def test_a_letter_is_read_through_what_is_put_around_it(completion: str) -> None:
    assert judged("choice", "B", completion) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        "B) or C",
        "(B) and (C)",
        "The answer is B or C.",
        "I do not think the answer is B.",
        r"\boxed{\text{not B}}",
        "不选B",
    ],
)
def test_a_letter_that_is_not_chosen_earns_nothing(completion: str) -> None:
    assert judged("choice", "B", completion) != "none"


@pytest.mark.parametrize(
    "completion",
    [
        *(f"{F}json [1] {F}", f"{F}[1]{F}", f"{F}json5\n[1]\n{F}", "````json\n[1]\n````", "~~~json\n[1]\n~~~"),
        *(
            f"{F}json\n[1]\n{F}\n{F}python\nx\n{F}",
            f"{F}json\n[1]\n{F}\n{F}\nso\n{F}",
            f"<think>{F}json\n[2]\n{F}</think>[1]",
        ),
        *(
            f"{F}json\r\n[1]\r\n{F}",
            f"{F}json\n[1]",
            f"<answer>{F}json [1]{F}</answer>",
            f"{F}\n[2]\n{F}\n{F}\n[1]\n{F}",
        ),
    ],
)
def test_a_value_is_found_in_fences_of_every_shape(completion: str) -> None:
    assert judged("json", "[1]", completion) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        f"<think>{F}json\n[1]\n{F}</think>\n[2]",
        f"{F}json\n[1]\n{F}\n</think>\n[2]",
        "<think>[1]</think>",
        f"<think>{F}json\n[1]\n{F}",
        f"{F}\n[1]\n{F}\n{F}\n[2,\n{F}",
    ],
)
def test_a_draft_is_not_the_value(completion: str) -> None:
    assert judged("json", "[1]", completion) != "none"


def test_fences_inside_a_text_of_the_value_are_its_own() -> None:
    assert judged("json", '{"a": "```"}', f'{F}json\n{{"a": "```"}}\n{F}') == "none"


ALIASES = (
    *(
        (r"x\geq 3", r"x \geqslant 3"),
        (r"\frac{1}{2}", r"\cfrac{1}{2}"),
        ("|x|", r"\lvert x\rvert"),
        (r"\sqrt{2}", "√2"),
    ),
    *(
        (r"\infty", "∞"),
        (r"(1,2)\cup(3,4)", "(1,2)∪(3,4)"),
        ("12", "= 12"),
        ("10", "10 cm"),
        (r"10\text{ cm}", "10 cm"),
    ),
    *(
        (r"\mathbb{R}\setminus\{1\}", r"(-\infty,1)\cup(1,\infty)"),
        ("3/2", "1 1/2"),
        ("3/2", r"1\frac12"),
        ("3/2", "1½"),
    ),
)


@pytest.mark.parametrize(
    ("gold", "given"), [*ALIASES, *((given, gold) for gold, given in ALIASES if "setminus" not in gold)]
)
def test_boxed_reads_plain_aliases_in_golds_and_answers(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize(
    ("gold", "given"), [("10 cm", "10 km"), (r"5\text{ apples}", r"5\text{ pears}"), (r"\Delta", r"\delta")]
)
def test_another_unit_or_letter_is_wrong(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") != "none"


@pytest.mark.parametrize(
    ("gold", "completion", "right"),
    [
        *(
            ("東京", "答えは東京です。", True),
            ("กรุงเทพ", "คำตอบคือกรุงเทพครับ", True),
            ("서울", "정답은 서울입니다.", True),
        ),
        *(
            ("4", "答えは4です", True),
            ("4", "共14个", False),
            ("서울", "남서울", False),
            ("ก", "กิ", False),
            ("4", "4{,}000", False),
        ),
    ],
)
def test_contains_finds_words_of_scripts_without_spaces(gold: str, completion: str, right: bool) -> None:
    assert (judged("contains", gold, completion) == "none") is right


@pytest.mark.parametrize("completion", ["a\r\nb", "a\nb\r\n", "a\rb"])
def test_exact_takes_any_line_ends(completion: str) -> None:
    assert judged("exact", "a\nb", completion) == "none"
