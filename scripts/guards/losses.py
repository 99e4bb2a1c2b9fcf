"""Guards of the loss and of the statistics."""

from __future__ import annotations

from guards.base import Mutation

TERMS = "tests/slow/test_terms.py::"
PAPERS = "tests/slow/test_losses.py::test_loss_and_gradient_are_the_papers"
SETTINGS = "tests/config/test_settings.py::"
INTERVALS = "tests/metrics/test_intervals.py::"
ASYMPTOTE = "tests/metrics/test_asymptote.py::"

EPISODES = "tests/policy/test_conversations.py::"

CUTS = "tests/slow/test_cuts.py::"
SPLIT = "tests/slow/test_split.py::"
UPDATES = "tests/slow/test_updates.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "losses", "a mean over rows is one over the rows of the whole step", "slow/batches.py",
        "return _share(rows, counted_rows, slots * processes)", "return 1.0",
        (PAPERS + "[GRPO-padded]",),
    ),
    Mutation(
        "losses", "a mean over tokens is one over the tokens of the whole step", "slow/batches.py",
        "return _share(tokens, items, slots * processes)", "return _share(rows, counted_rows, slots * processes)",
        (PAPERS + "[BNPO-trees]",),
    ),
    Mutation(
        "losses", "what TRL divides by all tokens of the step is not divided again", "slow/batches.py",
        'TOKEN_SUM_LOSSES = frozenset({"cispo", "dapo", "vespo"})', 'TOKEN_SUM_LOSSES = frozenset({"cispo", "dapo"})',
        (PAPERS + "[VESPO-padded]",),
    ),
    Mutation(
        "losses", "the loss of CISPO is a mean over problems", "slow/batches.py",
        "(items / (problems * tokens_B.clamp(min=1)))", "(items / tokens_B.clamp(min=1))",
        (PAPERS + "[CISPO-padded]",),
    ),
    Mutation(
        "losses", "the weight of a row keeps the sign of its advantage", "slow/batches.py",
        "weight_N=torch.where(spread_B_G, weight_B_G, 0.0)", "weight_N=torch.where(spread_B_G, -weight_B_G, 0.0)",
        (PAPERS + "[RLOO-trees]",),
    ),
    Mutation(
        "losses", "CISPO's ratio is bounded by the paper's 4", "config/settings.py",
        "self.epsilon_high = 4.0", "self.epsilon_high = 1.2",
        (PAPERS + "[CISPO, by token-padded]",),
    ),
    Mutation(
        "losses", "LUSPO has one ratio of each sequence", "config/settings.py",
        'ONE_LEVEL.get(self.loss_type, "token")', '"token"',
        (PAPERS + "[LUSPO-padded]",),
    ),
    Mutation(
        "losses", "ratios of a level that a loss has not are refused", "slow/settings.py",
        "if self.importance_sampling_level not in (None, only):", "if False:",
        (SETTINGS + "test_what_does_not_exist_or_makes_no_sense_is_refused",),
    ),
    Mutation(
        "losses", "ratios are to the policy that sampled", "slow/trainer.py",
        'scored["old_per_token_logps"] = scored["sampling_per_token_logps"]', "pass",
        (PAPERS + "[SAPO-trees]",),
    ),
    Mutation(
        "cuts", "no forward takes more tokens than equal shares would", "slow/cuts.py",
        "tokens_N_N[tokens_N_N > rows_at_most * lengths_N[-1]] = np.inf", "pass",
        (CUTS + "test_no_other_cuts_take_fewer_padded_tokens_within_the_same_memory",),
    ),
    Mutation(
        "cuts", "a share is as long as its longest row", "slow/cuts.py",
        "(last - first + 1) * lengths_N[None, :]", "(last - first + 1) * lengths_N[:, None]",
        (CUTS + "test_no_other_cuts_take_fewer_padded_tokens_within_the_same_memory",),
    ),
    Mutation(
        "cuts", "rows are cut where they take the least padding", "slow/split.py",
        "return micro_batches([list(islice(remaining, size)) for size in sizes], slots=self.slots)",
        "return micro_batches(equal_shares(live, needed), slots=self.slots)",
        (SPLIT + "test_rows_are_cut_where_padding_is_least_unless_every_forward_is_to_hold_as_many",),
    ),
    Mutation(
        "cuts", "forwards hold as many rows each where TRL gathers them", "slow/split.py",
        "if self.as_trees or self.evenly:", "if self.as_trees:",
        (SPLIT + "test_rows_are_cut_where_padding_is_least_unless_every_forward_is_to_hold_as_many",),
    ),
    Mutation(
        "updates", "a step is a batch, whatever its updates", "slow/trainer.py",
        "return self.state.global_step // self.updates", "return self.state.global_step",
        (UPDATES + "test_a_step_is_one_batch_whatever_its_updates",),
    ),
    Mutation(
        "updates", "times are counted in steps", "slow/replay.py",
        "setattr(args, name, getattr(args, name) * args.num_iterations)", "pass",
        (UPDATES + "test_metrics_count_steps",),
    ),
    Mutation(
        "updates", "log-probabilities that came with the rollouts are not computed again", "slow/trainer.py",
        "self.num_iterations = 1  # TRL", "pass  # TRL",
        (UPDATES + "test_a_step_is_one_batch_whatever_its_updates",),
    ),
    Mutation(
        "losses", "the entropy bonus has a scale of its own", "slow/trainer.py",
        "(scales.entropy if self._entropy_bonus_enabled else 0.0) or scales.policy or 1.0", "scales.policy or 1.0",
        (TERMS + "test_the_entropy_bonus_does_not_depend_on_memory[cispo]",),
    ),
    Mutation(
        "losses", "what scales the bonus does not scale advantages", "slow/trainer.py",
        '"advantages": inputs["advantages"] * rest}', '"advantages": inputs["advantages"]}',
        (TERMS + "test_a_step_is_a_stock_trainers[36]",),
    ),
    Mutation(
        "losses", "what scales the bonus does not scale KL", "slow/trainer.py",
        "multiplied(self, beta=rest, ", "multiplied(self, ",
        (TERMS + "test_a_step_is_a_stock_trainers[35]",),
    ),
    Mutation(
        "losses", "the most uncertain tokens are chosen before rows are left out", "slow/trainer.py",
        "return self._entropy_mask & mask.bool()",
        "return super().get_high_entropy_mask(entropies, mask, threshold)",
        (TERMS + "test_a_step_is_a_stock_trainers[22]",),
    ),
    Mutation(
        "losses", "the most uncertain tokens are those of rows that count", "slow/uncertain.py",
        "counted = counts * counted_n[:, None].to(counts)", "counted = counts",
        (TERMS + "test_a_step_is_a_stock_trainers[27]",),
    ),
    Mutation(
        "losses", "the bonus is a mean over the tokens that it acts on", "slow/split.py",
        'acting = int(out["entropy_mask"][:weighty].sum()) if "entropy_mask" in out else tokens', "acting = tokens",
        (TERMS + "test_a_step_is_a_stock_trainers[27]",),
    ),
    Mutation(
        "losses", "every process has as many rows where TRL gathers them", "slow/split.py",
        "if self.loss_type in ROWS_GATHERED:", "if False:",
        (TERMS + "test_two_processes_take_the_steps_of_one",),
    ),
    Mutation(
        "losses", "a load-balancing loss that would count spare rows is refused", "slow/limits.py",
        "if trainer.aux_loss_enabled and trainer.accelerator.num_processes > 1",
        "if False and trainer.accelerator.num_processes > 1",
        (TERMS + "test_a_load_balancing_loss_that_would_count_spare_rows_is_refused",),
    ),
    Mutation(
        "losses", "the load-balancing loss of several forwards is weighed by their rows", "slow/batches.py",
        "router=_share(part.rows, whole.rows, slots * processes),", "router=1.0,",
        (TERMS + "test_the_load_balancing_loss_of_several_forwards_is_the_mean_by_rows",),
    ),
    Mutation(
        "losses", "forwards with a load-balancing loss hold as many rows as was asked for", "slow/trainer.py",
        "self.packing_problem is None and not self.aux_loss_enabled", "self.packing_problem is None",
        (TERMS + "test_the_load_balancing_loss_in_parts_is_a_stock_trainers_in_the_same_parts",),
    ),
    Mutation(
        "losses", "load balancing sees every row that counts", "slow/trainer.py",
        "prompts_count=self.aux_loss_enabled,", "prompts_count=False,",
        (TERMS + "test_the_load_balancing_loss_of_experts_is_a_stock_trainers",),
    ),
    Mutation(
        "losses", "advantages within a context follow scale_rewards=batch", "slow/batches.py",
        "std = whole_std if by_batch else rewards.std()", "std = rewards.std()",
        ("tests/slow/test_batches.py::test_advantages_within_parts_may_be_scaled_by_the_spread_of_the_batch",),
    ),
    Mutation(
        "losses", "advantages within a context follow reward_weights", "slow/advantages.py",
        "batch.rewards_N * trainer.reward_weights.item()", "batch.rewards_N",
        (TERMS + "test_a_weight_of_the_reward_reaches_advantages_within_a_context",),
    ),
    Mutation(
        "losses", "the KL of a step is a mean over its tokens", "slow/steering.py",
        "sum(kl * (tokens / total) for kl, tokens in self._kls)", "sum(kl for kl, _ in self._kls) / len(self._kls)",
        ("tests/slow/test_steering.py::test_the_kl_of_a_step_is_that_of_its_tokens",),
    ),
    Mutation(
        "losses", "a quantile is between 0 and 1", "config/inherited.py",
        '"top_entropy_quantile": SHARE,', '"top_entropy_quantile": Spec(),',
        (TERMS + "test_what_the_loss_cannot_do_is_refused",),
    ),
    Mutation(
        "losses", "no reward is normalised over groups where contexts are compared", "config/checks.py",
        'and config.multi_objective_aggregation != "sum_then_normalize":', "and False:",
        (TERMS + "test_what_the_loss_cannot_do_is_refused",),
    ),
    Mutation(
        "losses", "what an environment says is not trained on", "slow/replay.py",
        "if any(rollout.said for rollout in self.rollouts):", "if False:",
        (EPISODES + "test_only_what_the_model_said_is_trained_on[on-cispo]",),
    ),
    Mutation(
        "losses", "what an environment says counts in no mean", "slow/batches.py",
        'return scored["completion_mask"] * scored.get("tool_mask", 1)', 'return scored["completion_mask"]',
        (EPISODES + "test_only_what_the_model_said_is_trained_on[on-cispo]",),
    ),
    Mutation(
        "losses, intervals", "few seeds have Student's quantile", "metrics/intervals.py",
        "return float(stdtrit(freedom, (1 + LEVEL) / 2))", "return 1.96",
        (INTERVALS + "test_the_interval_of_a_mean_covers_the_truth",),
    ),
    Mutation(
        "losses, intervals", "what may never be reached has no upper end", "metrics/seeds.py",
        "return _reciprocal(high), _reciprocal(low)", "return _reciprocal(high), 1 / low",
        (INTERVALS + "test_what_some_sample_does_not_reach_may_never_be_reached",),
    ),
    Mutation(
        "losses, intervals", "samples of few seeds are corrected for their number", "metrics/seeds.py",
        "variances.append(n / (n - 1) * ", "variances.append(1.0 * ",
        (INTERVALS + "test_of_means_it_is_the_textbooks_interval",),
    ),
    Mutation(
        "losses, asymptote", "B has no bound that a curve could meet", "metrics/asymptote.py",
        "slope = np.exp(_bounded(point[0], -30.0, 30.0))", "slope = np.exp(_bounded(point[0], np.log(0.2), 30.0))",
        (ASYMPTOTE + "test_the_interval_ends_where_the_profile_does",),
    ),
    Mutation(
        "losses, asymptote", "a point at no cost is R0", "metrics/asymptote.py",
        "self._before = np.log(c.max()) - np.log(c)",
        "self._before = np.log(c.max()) - np.log(np.maximum(c, c.max() * 1e-6))",
        (ASYMPTOTE + "test_the_point_at_no_cost_is_the_start_whatever_the_form",),
    ),
]  # fmt: skip
