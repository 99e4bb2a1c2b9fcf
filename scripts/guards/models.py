"""Guards of models, tokenizers, templates and generation configurations."""

from __future__ import annotations

from guards.base import Mutation

TRIALS = "tests/policy/test_trials.py::test_"
PADDING = "tests/slow/test_padding.py::test_training_rows_are_computed_as_if_each_were_alone"
PAIRING = "tests/policy/test_pairing.py::test_"
CHAT = "tests/policy/test_chat.py::test_"
ODD = "tests/run/test_odd_models.py::test_"
KINDS = "tests/run/test_architectures.py::test_a_model_of_another_kind_is_refused_before_anything_is_written"

BACK = "tests/slow/test_trials.py::test_"
LOADING = "tests/policy/test_loading.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "models", "a model without a way back is refused before a run", "slow/trainer.py",
        "            try_backward(self, pad)\n", "            pass\n",
        (BACK + "a_model_without_a_way_back_is_refused_in_one_line",),
    ),
    Mutation(
        "models", "the way back is tried in training mode", "slow/trials.py",
        "    base.train()\n    try:", "    try:",
        (BACK + "a_kernel_that_fails_in_training_mode_alone_is_found",),
    ),
    Mutation(
        "models", "a trial of the way back leaves no gradient", "slow/trials.py",
        "        base.zero_grad(set_to_none=True)\n", "",
        (BACK + "the_trial_leaves_no_gradient_and_no_trace_in_random_states",),
    ),
    Mutation(
        "models", "the KL asks a forward over whole rows for no cache", "evaluation/drift.py",
        "partial(type(model).forward, model, **without_cache(model))", "partial(type(model).forward, model)",
        ("tests/evaluation/test_drift.py::test_rows_longer_than_a_chunk_of_a_recurrent_kernel_have_a_kl",),
    ),
    Mutation(
        "models", "what a template renders is text", "policy/chat.py",
        "if not encodes(text):", "if False:",
        (CHAT + "half_a_surrogate_pair_in_what_a_template_renders_is_refused_in_one_line",),
    ),
    Mutation(
        "models", "a template that no file can hold is refused", "policy/loading.py",
        "if not encodes(str(tokenizer.chat_template)):", "if False:",
        (LOADING + "half_a_surrogate_pair_in_a_chat_template_is_refused",),
    ),
    Mutation(
        "models", "a way of sampling with other log-probabilities is not taken", "policy/trials.py",
        "if found <= tolerance(model):", "if True:",
        (TRIALS + "a_cache_that_gives_other_answers_is_not_used",),
    ),
    Mutation(
        "models", "a model whose tokens see later ones is refused", "policy/trials.py",
        "if not causal:", "if False:",
        (TRIALS + "an_encoder_is_refused_because_its_tokens_see_later_ones",),
    ),
    Mutation(
        "models", "recurrent rows of different lengths share no batch", "policy/engines/transformers.py",
        "alike = [order] if self._way.pads else", "alike = [order] if True else",
        (TRIALS + "rows_are_sampled_exactly_whoever_shares_their_batch[mamba]",),
    ),
    Mutation(
        "models", "padding that changes log-probabilities is not trained on", "slow/padding.py",
        "if worst <= tolerance(model) / min(1.0, temperature):", "if True:",
        (PADDING + "[gpt2-off-Padding.RIGHT]",),
    ),
    Mutation(
        "models", "an encoder-decoder is refused", "policy/loading.py",
        "if config.is_encoder_decoder:", "if False:",
        (KINDS + "[bart-is an encoder-decoder]",),
    ),
    Mutation(
        "models", "doctor tries the run's model", "cli/doctor.py",
        "for line in dry_run(config):", "for line in ():",
        (KINDS + "[encoder-bert-is no causal language model]",),
    ),
    Mutation(
        "models", "a generation config loses what cannot be saved", "policy/pairing.py",
        "inner.generation_config = savable(inner.generation_config)", "pass",
        (ODD + "a_generation_config_that_cannot_be_saved_trains_resumes_and_evaluates",),
    ),
    Mutation(
        "models", "what cannot be saved is refused before the run", "policy/pairing.py",
        "    if saves:\n", "    if False:\n",
        (PAIRING + "what_loads_and_cannot_be_saved_is_refused[tokenizer]",),
    ),
    Mutation(
        "models", "an end token needs a row of the embedding", "policy/pairing.py",
        "if end >= rows:", "if False:",
        (PAIRING + "an_end_token_past_the_embedding_is_refused",),
    ),
    Mutation(
        "models", "a prompt's tokens need rows of the embedding", "policy/chat.py",
        "if ids and self._ids_below is not None and max(ids) >= self._ids_below:", "if False:",
        (CHAT + "a_token_that_the_embedding_has_no_row_for_is_named_with_its_row",),
    ),
    Mutation(
        "models", "special tokens that no map names are marks as well", "policy/loading.py",
        "for token in tokenizer.added_tokens_decoder.values() if token.special]", "for token in ()]",
        (
            "tests/policy/test_conversations.py::test_an_environment_cannot_open_a_turn_by_tokens_that_no_map_names",
            "tests/run/test_assemble.py::test_a_proposal_that_holds_a_special_token_that_no_map_names_is_refused",
            "tests/fast/reflection/test_local.py::test_a_quoted_rollout_opens_no_turn_by_tokens_that_no_map_names",
        ),
    ),
    Mutation(
        "models", "the clock of a template stands still", "policy/chat.py",
        'if "strftime_now" in str(tokenizer.chat_template):', "if False:",
        (CHAT + "a_template_that_prints_the_clock_prints_the_same_each_time",),
    ),
    Mutation(
        "models", "a template draws the same each time", "policy/chat.py",
        "    random.seed(0)\n", "",
        (CHAT + "a_template_that_draws_at_random_draws_the_same_and_leaves_everybody_their_draws",),
    ),
    Mutation(
        "models", "turns of one role are merged where the template wants that", "policy/chat.py",
        "for arranged in (turns, merged(turns)):", "for arranged in (turns,):",
        (CHAT + "user_turns_are_merged_only_where_the_template_wants_roles_to_alternate",),
    ),
    Mutation(
        "models", "a template that leaves the question out is refused", "policy/chat.py",
        "hidden = self._hidden(arranged, text)", "hidden = None",
        (CHAT + "a_template_that_leaves_the_question_out_is_refused",),
    ),
    Mutation(
        "models", "every row is rendered before the run", "run/trainer.py",
        'policy.check_prompts(self.population.seed, [*task.split("train"), *task.split("validation")])', "pass",
        (ODD + "a_row_that_the_template_refuses_is_named_by_train_check_show_and_doctor",),
    ),
    Mutation(
        "models", "trackers are not told of trials", "slow/trials.py",
        "trackers, trainer.args.report_to = trainer.args.report_to, []", "trackers = trainer.args.report_to",
        ("tests/slow/test_padding.py::test_a_tracker_that_has_not_begun_changes_nothing",),
    ),
]  # fmt: skip
