r"""What stands around an answer and makes it another one, or only looks as if it did."""

from __future__ import annotations

import pytest

from tests.tasks.scoring.test_kinds_of_answers import judged


@pytest.mark.parametrize(
    "completion",
    [
        *("less than 2", "at least 2", "more than **2**", "not 2", "isn't 2", "is not equal to 2", "cannot be 2", "2?"),
        *("2 or more", "2 apples or fewer", "2 at most", "up to 2", "almost 2", "between 1 and 2", "other than 2"),
        *("大于2", "至少2", "2以上", "más de 2", "mindestens 2", "2 is wrong", "multiples of 2"),
    ],
)
def test_a_number_that_words_make_a_bound_or_deny_is_not_the_answer(completion: str) -> None:
    assert judged("number", "2", completion) == "unparsable"


@pytest.mark.parametrize(
    "completion",
    ["> 2", "≠ 2", r"$x \not= 2$", "≲ 2", "≮ 2", "&gt; 2", "&ne;2", r"\neq \boxed{2}", "=\u0338 2", "=/= 2", "x !== 2"],
)
def test_a_number_behind_a_relation_is_not_the_answer(completion: str) -> None:
    assert judged("number", "2", completion) == "unparsable"


def test_a_negated_sign_is_one_sign() -> None:
    assert judged("boxed", r"x \neq 2", r"\boxed{x \not= 2}") == "none"
    assert judged("boxed", "x = 2", r"\boxed{x \not= 2}") != "none"


@pytest.mark.parametrize(
    "completion", ["about 2", r"\approx 2", "≈ 2", "The answer is not 3 but 2.", "equal to 2", "So it's 2, as expected"]
)
def test_a_number_that_is_named_is_the_answer(completion: str) -> None:
    assert judged("number", "2", completion) == "none"


@pytest.mark.parametrize(
    "completion", ["2K", "2k", "2M", "2T", "2bn", "$2M", "€2k", r"\boxed{2}k", "2ish", "2θ", "2ⁿ", "2х"]
)
def test_a_letter_glued_to_a_number_makes_another(completion: str) -> None:
    assert judged("number", "2", completion) != "none"


@pytest.mark.parametrize(
    "completion", ["$1.5M", r"\$1.5M", "It costs €1.5m.", r"\boxed{\$1.5\text{M}}", "$1.5 million"]
)
def test_a_letter_behind_money_is_its_magnitude(completion: str) -> None:
    assert judged("number", "1500000", completion) == "none"
    assert judged("number", "1.5", completion) == "wrong value"


def test_a_letter_in_a_formula_is_no_magnitude() -> None:
    assert judged("number", "87", r"$87\text{ m}$") == judged("boxed", "87", r"\boxed{$87\text{ m}$}") == "none"


def test_a_letter_apart_from_a_number_may_be_a_unit() -> None:
    assert judged("number", "300", "300 K") == "none"
    assert judged("boxed", "300", r"\boxed{300\text{ K}}") == "none"
    assert judged("boxed", "300", r"\boxed{300\text{K}}") == "wrong value"


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        *(
            ("23", "2<sup>3</sup>"),
            ("2", "2<sup>3</sup>"),
            ("23", "2<b>3</b>"),
            ("3", "2<b>3</b>"),
            ("2", "1&frasl;2"),
            ("2", "&minus;2"),
        ),
        *(("2", "&#8722;2"), ("2", "&amp;minus;2"), ("2", "&radic;2"), ("2", "<del>2</del>"), ("2", "x<sub>2</sub>")),
    ],
)
@pytest.mark.parametrize("frame", ["%s", r"\boxed{%s}"])
def test_markup_that_changes_a_number_is_heeded(gold: str, completion: str, frame: str) -> None:
    assert judged("number", gold, frame % completion) != "none"
    assert judged("boxed", gold, f"\\boxed{{{completion}}}") != "none"


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        *(("8", "2<sup>3</sup>"), ("0.5", "1&frasl;2"), ("-2", "&minus;2"), ("1000", "1&nbsp;000"), ("2", "<p>2</p>")),
        *(
            ("1000", r"1\text{,}000"),
            ("1234567", "1_234_567"),
            ("2", "<b>2</b>"),
            ("2", "2<br>"),
            ("2", "**Answer:**2"),
        ),
    ],
)
def test_markup_is_read_as_what_it_shows(gold: str, completion: str) -> None:
    assert judged("number", gold, completion) == "none"


@pytest.mark.parametrize("completion", ["2_", "2*", "2**", "*2", "x *2"])
def test_half_of_an_emphasis_is_an_operator(completion: str) -> None:
    assert judged("number", "2", completion) == "unparsable"


@pytest.mark.parametrize("completion", ["**2**", "_2_", "*2*", "***2***", "**The answer is 2**"])
def test_a_whole_emphasis_says_nothing(completion: str) -> None:
    assert judged("number", "2", completion) == "none"


@pytest.mark.parametrize("scorer", ["number", "boxed"])
@pytest.mark.parametrize("text", [r"0.\overline{3}", "0.(3)", r"0.\dot{3}", r"0.\bar3", "0.3\u0305"])
def test_a_repeating_decimal_is_its_fraction(scorer: str, text: str) -> None:
    assert judged(scorer, "1/3", f"\\boxed{{{text}}}") == "none"
    assert judged(scorer, "0.3", f"\\boxed{{{text}}}") == "wrong value"


@pytest.mark.parametrize("scorer", ["number", "boxed"])
@pytest.mark.parametrize("text", ["0.3...", "0.3…", r"0.3\ldots", "1.(2)"])
def test_digits_that_are_left_out_are_not_nothing(scorer: str, text: str) -> None:
    assert judged(scorer, "1.2" if "(" in text else "0.3", f"\\boxed{{{text}}}") != "none"


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        *(
            (r"\pi R^2", r"\pi r^2"),
            ("m", "M"),
            ("R-r", "0"),
            ("R-r", "r-R"),
            ("x=3", "X=3"),
            ("abc", "ABC"),
            ("B", "b"),
        ),
        *(("E", "e"), ("nR", "Nr"), (r"\frac{A}{a}", "1")),
    ],
)
def test_letters_that_differ_in_case_are_other_symbols(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "wrong value"


@pytest.mark.parametrize(
    ("gold", "given"), [(r"\text{(B)}", "b"), ("(B)", r"\text{B}"), ("even", "Even"), ("yes", "YES")]
)
def test_case_says_nothing_in_options_and_words(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        ("7:30", "14:60"),
        ("7:30", "1:4"),
        ("1:6", "1:2:3"),
        (r"1:\sqrt{3}:2", r"1:2:\sqrt3"),
        ("3:2", "2:3"),
        ("7:30", "7/30"),
    ],
)
def test_another_time_or_ratio_is_wrong(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "wrong value"


@pytest.mark.parametrize(
    ("gold", "given"),
    [("7:30", "07:30"), ("1:2", "2:4"), ("1:2:3", "2:4:6"), ("3:4", r"\frac{3}{4}"), ("3:2", r"3\colon 2")],
)
def test_the_same_time_or_ratio_is_right(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize(
    "given",
    [
        *("|A|=25", "AB=25", r"\angle ABC = 25^\circ", "f(5)=25", r"\text{Area}=25", "a+b=25", r"\overline{AB}=25"),
        *("x = 20+5 = 25", "20+5=25", r"x \approx 25", "n := 25", "f^{-1}(3)=25", r"\theta = 25", r"\frac{dy}{dx}=25"),
    ],
)
def test_an_equation_states_the_value_of_what_it_names(given: str) -> None:
    assert judged("boxed", "25", f"\\boxed{{{given}}}") == "none"
    assert judged("boxed", given, r"\boxed{25}") == "none"


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        *(
            ("x+1", "x=x+1"),
            ("4", "2x=4"),
            ("4", "x^2=4"),
            ("4", "-x=4"),
            ("3", "2=3"),
            ("3", "x=2=3"),
            ("12", "12=12"),
        ),
        *(("2", r"2 \approx 3"), ("2x", "x=2x"), ("2", r"x \neq 2"), ("3", "x+1=3")),
    ],
)
def test_an_equation_that_does_not_state_the_value_is_wrong(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "wrong value"


@pytest.mark.parametrize(
    ("gold", "given"), [(r"\frac13", r"\frac{1}{3}\approx 0.333"), (r"\frac{\pi}{4}", r"x=\frac{\pi}{4}\approx 0.785")]
)
def test_a_rounding_behind_the_value_says_nothing(gold: str, given: str) -> None:
    assert judged("boxed", gold, f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize("given", [r"\sqrt 2 1", r"\sqrt{2}1", r"\sqrt 2 2"])
def test_a_number_behind_another_is_no_factor(given: str) -> None:
    assert judged("boxed", r"\sqrt2", f"\\boxed{{{given}}}") != "none"


@pytest.mark.parametrize(
    "given", [r"\large 25", r"{\bf 25}", r"\textcolor{red}{25}", r"\bm{25}", r"\Large{25}", r"\color{blue}25"]
)
def test_fonts_and_colours_say_nothing(given: str) -> None:
    assert judged("boxed", "25", f"\\boxed{{{given}}}") == "none"
    assert judged("number", "25", f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize("given", [r"{1 \over 2}", r"1 \over 2"])
def test_over_is_a_fraction(given: str) -> None:
    assert judged("boxed", r"\frac12", f"\\boxed{{{given}}}") == "none"


@pytest.mark.parametrize("given", [r"\varnothing", r"\{\}", "{}", "∅", r"\{ \}"])
def test_the_empty_set_has_many_signs(given: str) -> None:
    assert judged("boxed", r"\emptyset", f"\\boxed{{{given}}}") == "none"
    assert judged("boxed", given, r"\boxed{\{\emptyset\}}") != "none"


@pytest.mark.parametrize("scorer", ["number", "boxed"])
@pytest.mark.parametrize("given", ["٢٥", "۲۵", "２５", "२५", "𝟐𝟓"])
def test_digits_of_one_other_script_are_read(scorer: str, given: str) -> None:
    assert judged(scorer, "25", f"\\boxed{{{given}}}") == "none"
    assert judged(scorer, "25", f"\\boxed{{2{given[1:]}}}") != "none", "a number in two scripts is none"


def test_an_exclamation_mark_is_a_factorial_unless_it_ends_a_sentence() -> None:
    assert judged("number", "42", "It is 42!") == "none"
    assert judged("number", "120", "5!") == judged("number", "120", r"\boxed{5!}") == "none"
    assert judged("number", "5", "5!") == "wrong value"
    assert judged("number", "5", "The answer is 5!") == "unparsable", "5, or 120"


@pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<|eot_id|>\n<|end_of_text|>", " <end_of_turn>\n"])
def test_tokens_of_a_chat_template_are_no_part_of_an_answer(end: str) -> None:
    for scorer, gold, text in (("number", "42", "42"), ("choice", "B", "B"), ("json", "[1]", "[1]")):
        assert judged(scorer, gold, text + end) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        *(
            "B is the correct answer.",
            "#### B",
            "A is bad.\n#### B",
            r"\boxed{\bf B}",
            "Option B is correct.",
            "I choose B.",
        ),
        *("After all, B is the best choice.", r"\boxed{\textcolor{red}{B}}", "The correct option is B."),
    ],
)
def test_a_letter_may_be_chosen_in_other_words(completion: str) -> None:
    assert judged("choice", "B", completion) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        *(
            "A and B is the correct answer.",
            "A, B is the correct answer",
            "B is not the correct answer.",
            "#### B or C",
        ),
        *(
            "If B is correct, so be it.",
            "B is the correct answer, or C.",
            "I did not choose B.",
            "<del>B</del>",
            "<s>B</s>",
        ),
    ],
)
def test_a_letter_that_is_chosen_with_another_or_denied_is_none(completion: str) -> None:
    assert judged("choice", "B", completion) != "none"


@pytest.mark.parametrize(
    "completion",
    [
        *("The result is [1,2]", "Answer: [1,2]", r"\boxed{[1,2]}", r"$\boxed{\text{[1, 2]}}$", "Here:\n\n[1,\n2]\n"),
        *("**Answer:** [1,2]", "It is `[1,2]`."),
    ],
)
def test_a_value_is_found_behind_prose_and_in_a_box(completion: str) -> None:
    assert judged("json", "[1,2]", completion) == "none"


@pytest.mark.parametrize(
    "completion",
    [
        *(
            "It is not [1,2].",
            "[2] or [1,2]",
            "Answer: [[1,2]]",
            "-[1,2]",
            "f[1,2]",
            "[1,2] is wrong",
            "Answer: [1,2] or so",
        ),
        r"\boxed{[1,2]} no \boxed{[3]}",
    ],
)
def test_a_value_among_others_or_denied_is_none(completion: str) -> None:
    assert judged("json", "[1,2]", completion) != "none"
