"""Guards against what user code and language-model servers do."""

from __future__ import annotations

from guards.base import Mutation

FOREIGN = "tests/core/test_foreign.py::test_"
OWN = "tests/tasks/test_own.py::test_"
PARTS = "tests/faults/test_user_code.py::test_"
DIALECTS = "tests/fast/reflection/test_dialects.py::test_"
REPLIES = "tests/fast/proposers/test_replies.py::test_"
PUT_BACK = FOREIGN + "what_a_call_changed_in_the_process_is_put_back_and_logged_once"

MUTATIONS: list[Mutation] = [
    Mutation(
        "user code", "what ends Python in foreign code is caught", "core/foreign.py",
        "    except BaseException as error:\n        if os", "    except Exception as error:\n        if os",
        (FOREIGN + "whatever_foreign_code_raises_becomes_an_exception_of_one_line[SystemExit: 0]",),
    ),
    Mutation(
        "user code", "an interrupt inside a group of exceptions passes", "core/foreign.py",
        "if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt):", "if False:",
        (FOREIGN + "an_interrupt_at_the_keyboard_passes",),
    ),
    Mutation(
        "user code", "a forked child that raises ends", "core/foreign.py",
        "            _leave_fork(error)\n", "            pass\n",
        (FOREIGN + "a_fork_that_comes_back_does_not_go_on_as_a_second_run",),
    ),
    Mutation(
        "user code", "a forked child that comes back ends", "core/foreign.py",
        "            os._exit(1)  # a fork", "            pass  # a fork",
        (FOREIGN + "a_fork_that_comes_back_does_not_go_on_as_a_second_run",),
    ),
    Mutation(
        "user code", "what is printed goes to standard error", "core/foreign.py",
        "out = _state(), sys.stdout\n    sys.stdout = sys.stderr\n", "out = _state(), sys.stdout\n",
        (FOREIGN + "what_is_printed_goes_to_standard_error",),
    ),
    Mutation(
        "user code", "what a call changed in the process is put back", "core/foreign.py",
        "_RESTORE[name](was)", "pass",
        (PUT_BACK + "[returning-torch's gradients]",),
    ),
    Mutation(
        "user code", "what child processes print goes aside as well", "core/foreign.py",
        "        os.dup2(2, 1)\n", "",
        (FOREIGN + "output_aside_keeps_even_that_of_child_processes_off_standard_output",),
    ),
    Mutation(
        "user code", "threads left behind do not hold the process", "core/foreign.py",
        'threading.Thread(target=watch, daemon=True, name="fastslow-end").start()', "pass",
        (FOREIGN + "what_foreign_code_left_running_is_named_and_does_not_hold_the_process[thread]",),
    ),
    Mutation(
        "user code", "eval keeps what scorers print off standard output", "cli/eval.py",
        "with foreign.output_aside(), _followed()", "with _followed()",
        (PARTS + "eval_prints_nothing_but_json_and_ends_though_the_scorer_prints_and_leaves_a_thread",),
    ),
    Mutation(
        "user code", "a scorer gets a copy of the whole row", "tasks/families/rows.py",
        "foreign.fresh(row)", "dict(row)",
        (OWN + "a_scorer_of_rows_cannot_change_what_lies_deep_in_a_row",),
    ),
    Mutation(
        "user code", "a task of the user's scores a copy of the example", "tasks/own.py",
        "self.unchecked.score, copied(example), completion", "self.unchecked.score, example, completion",
        (OWN + "a_task_that_changes_what_it_is_given_changes_neither_prompts_nor_later_calls",),
    ),
    Mutation(
        "user code", "examples of a user's task are copied", "tasks/own.py",
        "tuple(map(copied, examples))", "tuple(examples)",
        (OWN + "a_task_that_changes_what_it_is_given_changes_neither_prompts_nor_later_calls",),
    ),
    Mutation(
        "user code", "a reward is a plain number", "tasks/verdicts.py",
        "None if verdict.reward is None else as_reward(verdict.reward)", "verdict.reward",
        (OWN + "the_reward_of_a_verdict_becomes_a_plain_number",),
    ),
    Mutation(
        "user code", "a proposer gets copies", "fast/proposers/base.py",
        "traces=[_copied(trace) for trace in request.traces]", "traces=request.traces",
        (PARTS + "a_proposer_that_changes_its_request_changes_nothing_of_the_run",),
    ),
    Mutation(
        "user code", "a proposal is a dict of texts", "fast/proposers/base.py",
        "    if not texts:\n", "    if False:\n",
        (PARTS + "a_proposal_that_is_no_dict_of_texts_ends_the_run_in_one_line",),
    ),
    Mutation(
        "user code", "the state of a router is copied", "routers/base.py",
        "lambda: foreign.fresh(router.state_dict())", "lambda: router.state_dict()",
        (PARTS + "the_state_of_a_router_in_a_checkpoint_is_not_the_state_that_goes_on_changing",),
    ),
    Mutation(
        "user code", "the vectors of an embedder are copied", "topics/embedders.py",
        "np.array(self._embedder.embed(list(texts)), np.float32)",
        "np.asarray(self._embedder.embed(list(texts)), np.float32)",
        (PARTS + "an_embedder_may_use_its_array_again_and_change_its_list",),
    ),
    Mutation(
        "user code", "dropout does not depend on global random states", "slow/trainer.py",
        'torch.manual_seed(derive_seed(self.args.seed, "dropout", purpose, *place))', "pass",
        (PARTS + "a_scorer_that_draws_from_or_seeds_global_random_states_does_not_change_dropout",),
    ),
    Mutation(
        "user code", "a text that begins and ends with a code block keeps its lines", "fast/proposers/replies.py",
        "if number == len(lines) - 1 else text", "if True else text",
        (REPLIES + "a_reply_that_is_anything_but_one_code_block_keeps_every_line",),
    ),
    Mutation(
        "user code", "a draft in the thoughts is no edit", "fast/proposers/reflection.py",
        "return without_thoughts(reply) if begun > finished else without_thoughts(reply[end:])", "return reply",
        (REPLIES + "the_edit_of_a_reply_is_the_last_one_that_is_whole_and_meant[a draft in the thoughts alone]",),
    ),
    Mutation(
        "user code", "a number as answer counts as its text", "fast/proposers/replies.py",
        "parse_int=str, parse_float=str", "parse_float=str",
        (REPLIES + "worked_examples_are_read_in_the_forms_that_models_write[numbers]",),
    ),
    Mutation(
        "user code", "a refused parameter is left out from then on", "fast/reflection/endpoint.py",
        "            self._refused |= new\n", "            raise self._failure('refused')\n",
        (DIALECTS + "a_refused_parameter_is_left_out_from_then_on_and_logged_once[Gemini]",),
    ),
    Mutation(
        "user code", "an error with a status inside an answer is retried", "fast/reflection/endpoint.py",
        "        response.status_code = error[1]\n", "        pass\n",
        (DIALECTS + "an_error_with_a_status_inside_an_answer_is_retried_as_one",),
    ),
    Mutation(
        "user code", "a stream that breaks off is no reply", "fast/reflection/dialects.py",
        'reason or (None if finished else "error")', "reason",
        (DIALECTS + "what_is_no_reply_is_drawn_once_more_and_then_explained_in_one_line[a stream that breaks off]",),
    ),
    Mutation(
        "user code", "thoughts that the total alone counts are paid for", "fast/reflection/dialects.py",
        "completion = max(completion or 0, total - prompt)", "pass",
        (DIALECTS + "the_text_and_the_tokens_of_a_reply_are_read_at_the_first_try",),
    ),
    Mutation(
        "user code", "the name of a file runs no module of that name", "tasks/spec.py",
        "    return Spec(_with_family(head), params)\n", "    return Spec(head, params)\n",
        ("tests/tasks/families/test_columns.py::test_a_file_is_read_and_no_module_of_its_name_is_run",),
    ),
]  # fmt: skip
