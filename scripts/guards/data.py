"""Guards of data sets: rows, files, splits, what identifies a question."""

from __future__ import annotations

from guards.base import Mutation

READER = "tests/tasks/families/test_reader.py::"
SOURCES = "tests/tasks/families/test_sources.py::"
CSV = "tests/tasks/families/test_csv_files.py::test_"
SPLITS = "tests/tasks/test_splits.py::"
KINDS = "tests/fast/proposers/test_kinds.py::"
VALIDATE = "tests/fast/proposers/test_validate.py::"

FAULTS = "tests/tasks/families/test_faults.py::test_"
HF = "tests/tasks/families/test_hf.py::test_"
ASSEMBLE = "tests/run/test_assemble.py::test_"
CHECK = "tests/tasks/test_check.py::test_"

DRAFT = "tests/tasks/test_draft.py::test_"
NEW = "tests/cli/test_tasks_new.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "data", "a list that a scorer of one's own does not take is no answer", "tasks/families/rows.py",
        "written is not None and self.score(example, written).reward == 1.0", "written is not None",
        (READER + "test_a_list_or_an_object_is_an_answer_where_a_scorer_of_ones_own_takes_it_for_one",),
    ),
    Mutation(
        "data", "a draft guesses no column", "tasks/families/columns.py",
        "if not found[part] and len(usual) > 1:", "if False:",
        (DRAFT + "columns_in_doubt_are_named_and_nothing_is_guessed",),
    ),
    Mutation(
        "data", "a draft overwrites no file", "tasks/draft.py",
        'if Path(f"{name}.py").is_symlink() or Path(f"{name}.py").exists():', "if False:",
        (NEW + "a_file_that_exists_is_not_overwritten",),
    ),
    Mutation(
        "data", "a scorer is written for data that are fit", "cli/tasks.py",
        "    if _reported(task, report):\n        print(", "    if _reported(task, report) > 1:\n        print(",
        (NEW + "data_unfit_to_train_on_are_reported_and_nothing_is_written",),
    ),
    Mutation(
        "data", "what the data say stands in a draft as literals", "tasks/draft.py",
        "return json.dumps(text, ensure_ascii=False) if text.isprintable() else ascii(text)", "return f'\"{text}\"'",
        (DRAFT + "what_the_data_say_stands_in_the_file_as_literals_alone",),
    ),
    Mutation(
        "data", "every row that cannot be used is named", "tasks/families/reader.py",
        "                self.faults.add(fault)\n        if self.split:",
        "                self.faults.add(fault)\n                break\n        if self.split:",
        (FAULTS + "every_format_tells_of_all_rows_that_are_wrong_and_of_what_is_wrong",),
    ),
    Mutation(
        "data", "of many wrong rows the others are counted", "tasks/families/faults.py",
        "more = self._count - len(places)", "more = 0",
        (FAULTS + "of_more_faults_than_are_shown_the_others_are_counted",),
    ),
    Mutation(
        "data", "a column split of a file divides its rows", "tasks/families/hf.py",
        'source, split = load_local(rest, name), params.get("split")', 'source, split = load_local(rest, name), ""',
        (HF + "a_split_column_is_obeyed_in_every_format",),
    ),
    Mutation(
        "data", "a column split of a folder divides its rows", "tasks/families/hf.py",
        "split = DIVIDES if _divides(source, name) else", "split = DIVIDES if False else",
        (HF + "a_split_column_is_obeyed_in_every_format",),
    ),
    Mutation(
        "data", "a column split that is not used is told", "tasks/families/hf.py",
        "if len(said) > 1:", "if False:",
        (HF + "a_column_of_a_folder_that_says_something_else_is_not_used",),
    ),
    Mutation(
        "data", "columns that something else than commas separates are told", "tasks/families/csv_files.py",
        "if len(header) == 1 and", "if False and",
        (SOURCES + "test_a_file_with_another_separator_says_so",),
    ),
    Mutation(
        "data", "what stands in for an answer is reported", "tasks/doubts.py",
        "if answer.casefold() in STAND_INS and answer not in NOTHING", "if False",
        (READER + "test_what_stands_in_for_an_answer_is_reported_and_in_most_rows_not_fit",),
    ),
    Mutation(
        "data", "train warns of answers that its scorer refuses", "run/assemble.py",
        "        if not refused:\n            return", "        if True:\n            return",
        (ASSEMBLE + "a_scorer_that_gives_its_own_answers_nothing_is_warned_of",),
    ),
    Mutation(
        "data", "a row is named as a person counts it", "core/types.py",
        'return f"{place} {number}" if place', 'return f"example {self.id}" if place',
        (CHECK + "check_names_rows_as_a_person_counts_them",),
    ),
    Mutation(
        "data", "tasks check gives a template its arguments", "cli/tasks.py",
        "with_tools(tokenizer, options.chat_template_kwargs,", "with_tools(tokenizer, None,",
        (CHECK + "check_and_show_take_what_train_takes_of_a_template",),
    ),
    Mutation(
        "data", "a blank answer is missing", "tasks/families/reader.py",
        "return None if is_blank(value) else value", "return value",
        (READER + "test_a_blank_answer_is_refused_with_its_row",),
    ),
    Mutation(
        "data", "NaN and infinity are no answers", "tasks/families/reader.py",
        "return json.dumps(float(value)) if math.isfinite(value) else None", "return json.dumps(float(value))",
        (READER + "test_a_number_that_is_none_is_refused_with_its_row",),
    ),
    Mutation(
        "data", "lists and objects are answers for the scorer of values only", "tasks/families/reader.py",
        "if structured and isinstance(value, list | dict):", "if isinstance(value, list | dict):",
        (READER + "test_a_list_or_object_is_no_answer_for_a_scorer_of_text",),
    ),
    Mutation(
        "data", "a command whose backslash was read as an escape is refused", "tasks/families/reader.py",
        "if eaten := eaten_command(text, gold=gold):", "if (eaten := eaten_command(text, gold=gold)) and False:",
        (READER + "test_a_command_whose_backslash_was_eaten_is_refused_with_its_row",),
    ),
    Mutation(
        "data", "half a surrogate pair is refused in an answer", "tasks/families/reader.py",
        "if not encodes(text):", "if not gold and not encodes(text):",
        (READER + "test_half_a_surrogate_pair_is_no_answer",),
    ),
    Mutation(
        "data", "two answers to one question are told", "tasks/families/reader.py",
        "self.contradictions.append(", "(lambda _: None)(",
        (READER + "test_two_answers_to_one_question_are_told_with_the_first_two_rows_and_are_not_fit",),
    ),
    Mutation(
        "data", "two spellings of one answer do not contradict", "tasks/families/reader.py",
        "and not self._accepts(one or", "and not (lambda *_: False)(one or",
        (READER + "test_two_spellings_of_one_answer_do_not_contradict",),
    ),
    Mutation(
        "data", "other wordings of a question in the user's other splits are refused", "tasks/families/reader.py",
        "if self.split:\n            self._check_wordings", "if False:\n            self._check_wordings",
        (READER + "test_such_wordings_in_two_splits_of_the_users_are_refused_with_both_rows",),
    ),
    Mutation(
        "data", "no context may copy a long held-out answer of a row", "tasks/families/reader.py",
        '"answer": self.written_answer(row)}', '"answer": None}',
        (VALIDATE + "test_a_long_answer_of_rows_of_data_is_held_out_as_well",),
    ),
    Mutation(
        "data", "what a scorer cannot meet with letters is told of floats", "tasks/families/rows.py",
        "elif self._compares_letters and", "elif False and",
        (READER + "test_whole_numbers_that_became_floats_are_reported_where_letters_are_compared",),
    ),
    Mutation(
        "data", "a key that stands twice is refused", "files/jsonl.py",
        "if len(members) < len(pairs):", "if False:",
        (SOURCES + "test_a_key_that_stands_twice_at_any_depth_is_refused_with_its_row",),
    ),
    Mutation(
        "data", "a column that stands twice is refused", "tasks/families/csv_files.py",
        "if twice is not None:", "if False:",
        (SOURCES + "test_a_column_that_stands_twice_is_refused",),
    ),
    Mutation(
        "data", "a field of a CSV file may have any length", "tasks/families/csv_files.py",
        "csv.field_size_limit(max(path.stat().st_size, csv.field_size_limit()))", "csv.field_size_limit()",
        (SOURCES + "test_a_field_of_any_length_is_read_and_the_limit_of_the_process_stays",),
    ),
    Mutation(
        "data", "the process's own limit of CSV fields is put back", "tasks/families/csv_files.py",
        "csv.field_size_limit(before)", "pass",
        (SOURCES + "test_a_field_of_any_length_is_read_and_the_limit_of_the_process_stays",),
    ),
    Mutation(
        "data", "CSV files of a folder and of the hub are read as written", "tasks/families/sources.py",
        "if csv_files.is_csv(builder):", "if False:",
        (
            CSV + "the_csv_files_of_a_folder_are_read_as_a_csv_file_is",
            CSV + "a_data_set_of_the_hub_in_csv_is_read_as_written",
        ),
    ),
    Mutation(
        "data", "CSV files are not streamed", "tasks/families/sources.py",
        "if csv_files.is_csv(found):", "if False:",
        (CSV + "csv_files_of_a_folder_are_not_streamed",),
    ),
    Mutation(
        "data", "a kept copy of CSV files is not taken for what is written", "tasks/families/csv_files.py",
        "if not isinstance(config, CsvConfig):", "if False:",
        (CSV + "the_copy_that_datasets_kept_of_csv_files_is_refused",),
    ),
    Mutation(
        "data", "wordings that differ in form alone are cut into one split", "tasks/splits.py",
        "kinds.setdefault(candidate.identity, [])", "kinds.setdefault(candidate.content, [])",
        (SPLITS + "test_wordings_that_differ_in_form_alone_are_never_divided",),
    ),
    Mutation(
        "data", "a generator's wordings of one question stay in one split", "tasks/splits.py",
        "if homes.setdefault(candidate.identity, split) != split:\n                divided",
        "if False:\n                divided",
        (SPLITS + "test_what_a_generator_draws_into_a_second_split_in_other_case_is_left_out",),
    ),
    Mutation(
        "data", "so they do where positions are allotted", "tasks/splits.py",
        "if homes.setdefault(candidate.identity, split) != split:\n            divided",
        "if False:\n            divided",
        (SPLITS + "test_what_a_generator_draws_into_a_second_split_in_other_case_is_left_out",),
    ),
    Mutation(
        "data", "the whole conversation is the question", "core/types.py",
        "return conversation(self.messages)", 'return self.messages[-1]["content"]',
        (
            READER + "test_of_several_turns_all_are_the_question",
            "tests/fast/test_phase.py::test_worked_examples_of_conversations_hold_every_turn_and_are_no_copies",
        ),
    ),
    Mutation(
        "data", "a policy is not shown its own question in another spelling", "contexts/rendering.py",
        "if folded(worked.question) == own:", "if worked.question == example.question:",
        ("tests/contexts/test_context.py::test_the_own_worked_example_is_known_in_other_case_and_spacing",),
    ),
    Mutation(
        "data", "held-out questions are known in any spelling", "fast/proposers/validate.py",
        "text = folded(text)", "text = normalised(text)",
        (VALIDATE + "test_a_held_out_question_in_other_case_or_form_is_refused",),
    ),
    Mutation(
        "data", "the turn of a held-out conversation that matters is held out", "fast/proposers/validate.py",
        "if len(e.messages) > 1 for turn", "if False for turn",
        (VALIDATE + "test_a_held_out_conversation_is_refused_and_so_is_the_turn_that_matters",),
    ),
    Mutation(
        "data", "a phase whose proposals were all refused says so", "fast/phase.py",
        "if refused and refused.total() == len(adapter.proposals):", "if False:",
        ("tests/fast/test_phase.py::test_a_phase_whose_proposals_were_all_refused_says_so_and_why",),
    ),
    Mutation(
        "data", "questions with an empty answer are not drawn", "tasks/families/reasoning_gym.py",
        "(is_blank(answer) or (self.generator, answer) in NO_ANSWER)", "(self.generator, answer) in NO_ANSWER",
        ("tests/tasks/families/test_reasoning_gym.py::test_a_question_whose_answer_is_empty_is_left_out",),
    ),
    Mutation(
        "data", "tasks check finds what train warns of", "tasks/check.py",
        "            report.problem(kind, place)", "            pass",
        (READER + "test_a_doubtful_answer_is_not_fit_and_train_warns_of_its_row",),
    ),
    Mutation(
        "data", "tasks check looks for other wordings in other splits", "tasks/check.py",
        "    _check_wordings(task, report)\n", "",
        ("tests/tasks/test_check.py::test_a_task_of_ones_own_is_looked_at_like_rows_of_data",),
    ),
    Mutation(
        "data", "a lost command leaves out a row of polaris", "tasks/families/polaris.py",
        "if eaten_command(problem) or eaten_command(gold, gold=True):", "if False:",
        ("tests/tasks/test_public.py::test_damaged_rows_of_the_papers_data_are_left_out_and_counted",),
    ),
    Mutation(
        "data", "what feedback quotes or numbers becomes no rule", "fast/proposers/kinds.py",
        "marked = NUMBERED.sub(PARTICULAR, QUOTED.sub(PARTICULAR, feedback))", "marked = feedback",
        (KINDS + "test_feedback_that_differs_in_numbers_and_quotations_is_one_kind",),
    ),
    Mutation(
        "data", "a word of the example's answer is in no rule", "fast/proposers/kinds.py",
        "if not self._words_of_answers.get(name, frozenset()).isdisjoint(said.words):", "if False:",
        (KINDS + "test_a_word_of_two_answers_or_of_two_questions_is_no_rule_and_one_of_all_questions_is",),
    ),
    Mutation(
        "data", "a word that tells a question from the others is in no rule", "fast/proposers/kinds.py",
        "if not self._words_of_questions[name].isdisjoint(said.words):", "if False:",
        (KINDS + "test_a_word_of_two_answers_or_of_two_questions_is_no_rule_and_one_of_all_questions_is",),
    ),
    Mutation(
        "data", "a whole answer of any known question is in no rule", "fast/proposers/kinds.py",
        "return is_numbered(line) or not self._whole_answers.isdisjoint(spoken)", "return False",
        (KINDS + "test_a_line_that_happens_to_hold_a_whole_answer_is_left_out",),
    ),
    Mutation(
        "data", "what was said of one answer alone is no rule", "fast/proposers/kinds.py",
        "min(len(self.examples), len(self.answers)) >= LEAST_EXAMPLES", "len(self.examples) >= LEAST_EXAMPLES",
        (KINDS + "test_what_only_examples_with_one_answer_were_told_may_be_that_answer",),
    ),
    Mutation(
        "i, hostile", "an echo of a completion is no rule", "fast/proposers/kinds.py",
        "return any(run in completion for run in said.runs)", "return False",
        (KINDS + "test_an_echo_of_the_completion_is_no_rule",),
    ),
    Mutation(
        "i, hostile", "a rule is short", "fast/proposers/kinds.py",
        "if len(clause) > MAX_CLAUSE_CHARS or ", "if ",
        (KINDS + "test_a_clause_beyond_the_bound_is_no_rule",),
    ),
    Mutation(
        "i, hostile", "chat markup and placeholders are in no rule", "fast/proposers/kinds.py",
        "FOREIGN.search(clause) or ", "",
        (KINDS + "test_markup_control_characters_and_placeholders_are_in_no_line[put {{ it }} there]",),
    ),
    Mutation(
        "i, hostile", "rules are few", "fast/proposers/instructions.py",
        "bool(fresh) and len(lines) < MAX_RULES", "bool(fresh)",
        ("tests/fast/proposers/test_instructions.py::test_there_are_never_more_rules_than_the_bound",),
    ),
]  # fmt: skip
