"""Guards of the scorers."""

from __future__ import annotations

from guards.base import Mutation

KINDS = "tests/tasks/scoring/test_kinds_of_answers.py::"
HOSTILE = "tests/tasks/scoring/test_hostile_answers.py::"
LOOKS = "tests/tasks/scoring/test_lookalikes.py::"
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
        "if number is None or not _ends(rest):", "if number is None:",
        (KINDS + "test_a_part_of_a_number_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "an unknown that is given twice makes a list", "tasks/scoring/standing.py",
        "in UNEQUAL) or _is_listed(left)", "in UNEQUAL)",
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
        "if hedges.unsure(text[max(0, said.start() - hedges.CHARS) : said.start()]) or", "if",
        (KINDS + "test_a_letter_that_is_not_chosen_earns_nothing",),
    ),
    Mutation(
        "rewards", "a part for thinking is not judged", "tasks/scoring/extract.py",
        "for end in THOUGHT_ENDS.finditer(read):", "for end in ():",
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
        '(not gap and not token.text.isascii() and category != "Sc")', "False",
        (HOSTILE + "test_signs_that_are_not_known_make_no_number",),
    ),
    Mutation(
        "rewards", "a letter may be taken back", "tasks/scoring/choice.py",
        "letter = None if beside or _is_taken_back(text, said.end()) else named", "letter = None if beside else named",
        (HOSTILE + "test_a_letter_beside_another_or_taken_back_is_not_chosen",),
    ),
    Mutation(
        "rewards", "words before a number may make it a bound", "tasks/scoring/standing.py",
        'hedges.before("".join(texts[:at])) or', "",
        (LOOKS + "test_a_number_that_words_make_a_bound_or_deny_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "words after a number may make it a bound", "tasks/scoring/standing.py",
        ' or hedges.after("".join(texts[at + 1 :]))', "",
        (LOOKS + "test_a_number_that_words_make_a_bound_or_deny_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "an equals sign behind another sign may be no equality", "tasks/scoring/standing.py",
        "return bool(left and left[-1].text in UNEQUAL) or", "return",
        (LOOKS + "test_a_number_behind_a_relation_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "mathematical signs of any kind are operators", "tasks/scoring/standing.py",
        'return category == "Sm" or (', "return (",
        (LOOKS + "test_a_number_behind_a_relation_is_not_the_answer",),
    ),
    Mutation(
        "rewards", "a negated relation is one", "tasks/scoring/notation.py",
        'NEGATED.sub("≠", ', '(lambda text: text)(',
        (LOOKS + "test_a_negated_sign_is_one_sign",),
    ),
    Mutation(
        "rewards", "K and T glued to a number are magnitudes", "tasks/scoring/standing.py",
        "(?<![0-9])[{''.join(sorted(MAGNITUDES))}]", "[{''.join(sorted(MAGNITUDES))}]",
        (LOOKS + "test_a_letter_glued_to_a_number_makes_another",),
    ),
    Mutation(
        "rewards", "letters of other alphabets are glued to a number too", "tasks/scoring/standing.py",
        "return not UNSPACED.match(self.text[-1]) and not HANGUL.match(self.text[-1])",
        "return self.text[-1].isascii()",
        (LOOKS + "test_a_letter_glued_to_a_number_makes_another",),
    ),
    Mutation(
        "rewards", "a K glued to a number in a box is no kelvin", "tasks/scoring/mathematics.py",
        "if measures.magnified(given) and not measures.magnified(gold):", "if False:",
        (LOOKS + "test_a_letter_apart_from_a_number_may_be_a_unit",),
    ),
    Mutation(
        "rewards", "raised digits in HTML are exponents", "tasks/scoring/markup.py",
        "text = RAISED.sub(", "text = re.compile('(?!)').sub(",
        (LOOKS + "test_markup_is_read_as_what_it_shows",),
    ),
    Mutation(
        "rewards", "HTML's entities are the signs they name", "tasks/scoring/markup.py",
        "text = ENTITY.sub(lambda match: html.unescape(match[0]), text)", "text = text",
        (LOOKS + "test_markup_that_changes_a_number_is_heeded",),
    ),
    Mutation(
        "rewards", "what HTML strikes out is no answer", "tasks/scoring/markup.py",
        "text = STRUCK_TAG.sub(lambda _: STRUCK, text)", "text = text",
        (LOOKS + "test_markup_that_changes_a_number_is_heeded",),
    ),
    Mutation(
        "rewards", "a tag within a line parts no number", "tasks/scoring/markup.py",
        'TAG.sub("\\n", INLINE_TAG.sub(HIDDEN, text))', 'TAG.sub("\\n", text)',
        (LOOKS + "test_markup_that_changes_a_number_is_heeded",),
    ),
    Mutation(
        "rewards", "an emphasis has two ends", "tasks/scoring/markup.py",
        "pieces, at = [], 0", "spans, pieces, at = [match.span() for match in EMPHASIS.finditer(text)], [], 0",
        (LOOKS + "test_half_of_an_emphasis_is_an_operator",),
    ),
    Mutation(
        "rewards", "a repeating decimal goes on", "tasks/scoring/notation.py",
        "text = REPEATING.sub(_repeating, text)", "text = text",
        (LOOKS + "test_a_repeating_decimal_is_its_fraction",),
    ),
    Mutation(
        "rewards", "dots stand for digits in a number", "tasks/scoring/standing.py",
        'elif _kind_right(rest) == "dots" and not LONG_DECIMAL.search(found.text):', "elif False:",
        (LOOKS + "test_digits_that_are_left_out_are_not_nothing",),
    ),
    Mutation(
        "rewards", "letters that differ in case are other symbols", "tasks/scoring/mathematics.py",
        "plain, right = measures.cased(plain, right)", "pass",
        (LOOKS + "test_letters_that_differ_in_case_are_other_symbols",),
    ),
    Mutation(
        "rewards", "letters without spaces may be symbols", "tasks/scoring/mathematics.py",
        'return plain == right or "\\\\" in given + gold or right', "return True or right",
        (LOOKS + "test_letters_that_differ_in_case_are_other_symbols",),
    ),
    Mutation(
        "rewards", "a time is no ratio", "tasks/scoring/measures.py",
        "if TIME.fullmatch(gold):", "if False:",
        (LOOKS + "test_another_time_or_ratio_is_wrong",),
    ),
    Mutation(
        "rewards", "a ratio of several has an order", "tasks/scoring/mathematics.py",
        'if gold.count(":") > 1 or given.count(":") > 1:', "if False:",
        (LOOKS + "test_another_time_or_ratio_is_wrong",),
    ),
    Mutation(
        "rewards", "an unknown is no name in a value that mentions it", "tasks/scoring/equations.py",
        "return named and not any(name in (NO_LETTERS", "return named and not any(name is (NO_LETTERS",
        (LOOKS + "test_an_equation_that_does_not_state_the_value_is_wrong",),
    ),
    Mutation(
        "rewards", "all sides of an equation count", "tasks/scoring/mathematics.py",
        "(_compare(text, right) for text in exactly)", "(_compare(text, right) for text in exactly[-1:])",
        (LOOKS + "test_an_equation_that_does_not_state_the_value_is_wrong",),
    ),
    Mutation(
        "rewards", "a number behind another is no factor", "tasks/scoring/mathematics.py",
        "if UNJOINED.search(given):", "if False:",
        (LOOKS + "test_a_number_behind_another_is_no_factor",),
    ),
    Mutation(
        "rewards", "a set that holds the empty set is not empty", "tasks/scoring/structure.py",
        ' and inside != EMPTY:', ":",
        (LOOKS + "test_the_empty_set_has_many_signs",),
    ),
    Mutation(
        "rewards", "a number in two scripts is none", "tasks/scoring/notation.py",
        'DIGITS = re.compile(r"(?<!\\d)', 'DIGITS = re.compile(r"',
        (LOOKS + "test_digits_of_one_other_script_are_read",),
    ),
    Mutation(
        "rewards", "a small factorial may be meant in a sentence", "tasks/scoring/standing.py",
        "return found.number if whole.value > LIKELY_FACTORIAL else None", "return found.number",
        (LOOKS + "test_an_exclamation_mark_is_a_factorial_unless_it_ends_a_sentence",),
    ),
    Mutation(
        "rewards", "a letter called correct with another is not chosen", "tasks/scoring/choice.py",
        "letter = None if beside or ", "letter = None if ",
        (LOOKS + "test_a_letter_that_is_chosen_with_another_or_denied_is_none",),
    ),
    Mutation(
        "rewards", "a value behind prose stands apart and is not denied", "tasks/scoring/values.py",
        "if before[-1:] in APART and not hedges.unsure(before) and not hedges.before(before):", "if True:",
        (LOOKS + "test_a_value_among_others_or_denied_is_none",),
    ),
    Mutation(
        "rewards", "a box in a relation holds no answer", "tasks/scoring/extract.py",
        r"|(?:\u2260|!=|\\neq?|\\not\s?=)\s?", "",
        (LOOKS + "test_a_number_behind_a_relation_is_not_the_answer",),
    ),
]  # fmt: skip
