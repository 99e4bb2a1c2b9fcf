"""Guards of the scorers."""

from __future__ import annotations

from guards.base import Mutation

KINDS = "tests/tasks/scoring/test_kinds_of_answers.py::"
HOSTILE = "tests/tasks/scoring/test_hostile_answers.py::"
CORPUS = "tests/tasks/scoring/test_corpus.py::test_no_wrong_answer_of_two_thousand_pairs_is_rewarded"

MUTATIONS: list[Mutation] = [
    Mutation(
        "rewards", "numbers are compared relative to the right one", "tasks/scoring/exact.py",
        "noise = size / Rational(10) ** (digits - SPARE_DIGITS // 2)", "noise = 1e-9",
        (KINDS + "test_boxed_has_no_absolute_floor",),
    ),
    Mutation(
        "rewards", "math-verify gets as many digits as the numbers ask for", "tasks/scoring/mathematics.py",
        "digits = max(right.digits, parsed.digits)", "digits = 15",
        (KINDS + "test_boxed_has_no_absolute_floor",),
    ),
    Mutation(
        "rewards", "decimals become exact fractions before math-verify compares", "tasks/scoring/exact.py",
        "if decimals:", "if False:",
        (KINDS + "test_boxed_has_no_absolute_floor",),
    ),
    Mutation(
        "rewards", "only a decimal point allows for rounding", "tasks/scoring/numbers.py",
        "if not given.decimal and not right.decimal:", "if False:",
        (KINDS + "test_boxed_has_no_absolute_floor",),
    ),
    Mutation(
        "rewards", "JSON numbers keep the digits that a float drops", "tasks/scoring/values.py",
        "return value.exact if isinstance(value, Written) else Fraction(value)", "return Fraction(value)",
        (KINDS + "test_json_compares_numbers_without_a_floor_and_without_rounding",),
    ),
    Mutation(
        "rewards", "JSON numbers that a float makes zero are refused", "tasks/scoring/values.py",
        "if abs(number) < sys.float_info.min and", "if False and",
        (KINDS + "test_json_numbers_that_no_float_holds_are_unparsable",),
    ),
    Mutation(
        "rewards", "a number base counts", "tasks/scoring/mathematics.py",
        "return bases[0] == bases[1]", "return True",
        (KINDS + "test_a_number_in_another_base_is_another_answer",),
    ),
    Mutation(
        "rewards", "what stands before a number may make it a part", "tasks/scoring/standing.py",
        "elif _glued(token, left, gap=gap, signed=sign != 0):", "elif False:",
        (KINDS + "test_a_part_of_a_number_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "what stands after a number may make it a part", "tasks/scoring/standing.py",
        "or not _ends(tokens[at + 1 :])", "",
        (KINDS + "test_a_part_of_a_number_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "an unknown that is given twice makes a list", "tasks/scoring/standing.py",
        "return _is_listed(left)", "return False",
        (KINDS + "test_a_part_of_a_number_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "an interval is only met by its own brackets", "tasks/scoring/structure.py",
        'return given.opening == "" and brackets[1] in loose | {("(", ")")}', "return True",
        (KINDS + "test_another_list_or_another_joiner_is_wrong",),
    ),
    Mutation(
        "rewards", "alternatives are no conditions that hold together", "tasks/scoring/structure.py",
        "union=OR in text and INEQUALITY.search(text) is not None", "union=False",
        (KINDS + "test_another_list_or_another_joiner_is_wrong",),
    ),
    Mutation(
        "rewards", "a number with thousands is no list", "tasks/scoring/mathematics.py",
        "    if _is_number(right):\n        wanted", "    if False:\n        wanted",
        (KINDS + "test_another_list_or_another_joiner_is_wrong",),
    ),
    Mutation(
        "rewards", "a unit counts where both have one", "tasks/scoring/mathematics.py",
        "if unit and given_unit and unit != given_unit:", "if False:",
        (KINDS + "test_another_unit_or_letter_is_wrong",),
    ),
    Mutation(
        "rewards", "a gold with a command that is not read is met by its letters only", "tasks/scoring/mathematics.py",
        "if latex.unknown_command(gold):", "if False:",
        (KINDS + "test_another_unit_or_letter_is_wrong",),
    ),
    Mutation(
        "rewards", "a letter beside another is not chosen", "tasks/scoring/choice.py",
        "return bool(HEDGED.match(text, end) or ", "return bool(",
        (KINDS + "test_a_letter_that_is_not_chosen_earns_nothing",),
    ),
    Mutation(
        "rewards", "a sentence that denies a letter does not choose it", "tasks/scoring/choice.py",
        "if UNSURE.search(text, max(0, said.start() - 80), said.start()) or", "if",
        (KINDS + "test_a_letter_that_is_not_chosen_earns_nothing",),
    ),
    Mutation(
        "rewards", "a part for thinking is not judged", "tasks/scoring/extract.py",
        "for end in THOUGHT_ENDS.finditer(text):", "for end in ():",
        (KINDS + "test_a_draft_is_not_the_value",),
    ),
    Mutation(
        "rewards", "a part for thinking without an end is not judged", "tasks/scoring/extract.py",
        "return text if draft is None else text[: draft.start()]", "return text",
        (KINDS + "test_a_draft_is_not_the_value",),
    ),
    Mutation(
        "rewards", "a broken last block is the answer, not the block before", "tasks/scoring/values.py",
        "yield meant[-1].content", "yield from (block.content for block in meant[::-1])",
        (KINDS + "test_a_draft_is_not_the_value",),
    ),
    Mutation(
        "rewards", "a fence inside a text does not end its block", "tasks/scoring/fences.py",
        "return not after.strip() or not text[", "return True or not text[",
        (KINDS + "test_fences_inside_a_text_of_the_value_are_its_own",),
    ),
    Mutation(
        "rewards", "a part of a word is not the word", "tasks/scoring/texts.py",
        "if _begins(gold, given, at) and", "if",
        (KINDS + "test_contains_finds_words_of_scripts_without_spaces",),
    ),
    Mutation(
        "rewards", "golds that only their own letters meet are told", "tasks/check.py",
        "    if reasons:\n", "    if False:\n",
        ("tests/tasks/test_check.py::test_golds_that_only_their_own_letters_meet_are_told",),
    ),
    Mutation(
        "rewards", "an exponent without braces may have many digits", "tasks/scoring/latex.py",
        "([0-9]++|[A-Za-z*", "([0-9]|[A-Za-z*",
        (HOSTILE + "test_towers_of_powers_are_refused_at_once[2^99999]",),
    ),
    Mutation(
        "rewards", "words that make another number count", "tasks/scoring/mathematics.py",
        "if measures.other_words(given) != measures.other_words(gold):", "if False:",
        (HOSTILE + "test_words_that_make_another_number_are_not_left_out",),
    ),
    Mutation(
        "rewards", "letters of a word have their order", "tasks/scoring/mathematics.py",
        "if AS_WORDS.fullmatch(right):", "if False:",
        (HOSTILE + "test_letters_of_a_word_have_their_order",),
    ),
    Mutation(
        "rewards", "a formula may go on outside the box", "tasks/scoring/mathematics.py",
        "if not stands_alone(text):", "if False:",
        (HOSTILE + "test_a_box_that_holds_a_part_of_a_formula_is_no_answer",),
    ),
    Mutation(
        "rewards", "signs that are not known make no number", "tasks/scoring/standing.py",
        'return not gap and not token.text.isascii() and unicodedata.category(token.text) != "Sc"', "return False",
        (HOSTILE + "test_signs_that_are_not_known_make_no_number",),
    ),
    Mutation(
        "rewards", "a letter may be taken back", "tasks/scoring/choice.py",
        "letter = None if _is_taken_back(text, said.end()) else said[1]", "letter = said[1]",
        (HOSTILE + "test_a_letter_beside_another_or_taken_back_is_not_chosen",),
    ),
]  # fmt: skip
