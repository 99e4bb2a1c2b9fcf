"""Guards of the promises in docs/promises.md, and of what reviews found."""

from __future__ import annotations

from guards.base import Mutation

RESUME = "tests/run/test_resume.py::test_a_run_cut_off_and_resumed_ends_as_if_it_had_not_been"
DAMAGED = "tests/files/test_sealed.py::test_a_damaged_file_is_found_and_the_checkpoint_before_it_offered"
STOPS = "tests/run/test_resume.py::test_a_signal_ends_a_fast_phase_or_an_evaluation_at_once_and_a_resume_makes_it_again"
FINITE = "tests/faults/test_guards.py::test_no_number_that_is_not_finite_reaches_the_weights"

MUTATIONS = [
    Mutation(
        "a, kills", "logs are cut back to where the checkpoint stood in them", "files/run_directory.py",
        "file.truncate(positions.get(name, 0))", "pass",
        ("tests/faults/test_kills.py::test_a_killed_run_ends_as_if_it_had_not_been[('update', 2, False)]",),
    ),
    Mutation(
        "a", "a paid reply is journaled before it is used", "fast/reflection/endpoint.py",
        "self.journal.add(key, reply)", "pass",
        ("tests/fast/reflection/test_journal.py::test_a_request_that_was_answered_before_is_not_sent_again_and_counts_the_same",),
    ),
    Mutation(
        "b, resume", "the optimiser's state is restored", "slow/state.py",
        'load_optimizer(trainer, self._saved["optimizer"])', "pass",
        (RESUME + "[best-('commit', 2, False)]",),
    ),
    Mutation(
        "b, resume", "torch's random state is restored", "slow/state.py",
        'torch.random.set_rng_state(self._saved["torch"])', "pass",
        (RESUME + "[dice-('update', 4, False)]",),
    ),
    Mutation(
        "b, recovery", "the tallies are restored", "record/recorder.py",
        "getattr(self, name).update(state.get(name, {}))", "pass",
        ("tests/faults/test_kills.py::test_a_resume_that_is_killed_can_be_resumed[('restore', 1, False)]",),
    ),
    Mutation(
        "c, corruption", "the SHA-256 of every file is compared", "files/manifest.py",
        'if digest(folder / name) != expected["sha256"]:', "if False:",
        (DAMAGED + "[model.safetensors-flip]",),
    ),
    Mutation(
        "c, corruption", "a link in a checkpoint is refused", "files/manifest.py",
        "if path.is_symlink() or not (path.is_file()", "if not (path.is_file()",
        (DAMAGED + "[state.json-link]",),
    ),
    Mutation(
        "c, corruption", "another format is refused", "files/manifest.py",
        "if type(version) is int and version != format:", "if False:",
        (DAMAGED + "[manifest.json-other_version]",),
    ),
    Mutation(
        "d, non-finite", "the gradient must be finite", "slow/trainer.py",
        "if norm is not None and not math.isfinite(float(norm)):", "if False:",
        ("tests/faults/test_mishaps.py::test_a_gradient_that_is_not_finite_stops_the_run_before_the_weights_take_it",),
    ),
    Mutation(
        "d, non-finite", "every weight of a checkpoint must be finite", "slow/channel.py",
        "if bad is not None:", "if False:",
        (FINITE + "[weight]",),
    ),
    Mutation(
        "e", "system calls that are not listed are denied", "sandbox/inside/seccomp.py",
        "        _give(_FAIL | errno.EPERM),\n    ]\n    count", "        _give(_ALLOW),\n    ]\n    count",
        ("tests/sandbox/test_seccomp.py::test_exactly_the_listed_calls_are_allowed[x86_64]",),
    ),
    Mutation(
        "f", "code that a bundle names is not run", "bundles/bundle.py",
        "if not trusted and foreign_code(name):", "if False:",
        ("tests/faults/test_mishaps.py::test_a_bundle_runs_no_code_of_its_maker_unless_trusted",),
    ),
    Mutation(
        "g", "no call is made that might pass the ceiling", "fast/reflection/endpoint.py",
        "self._keep_below_ceiling(prompt)\n            reply", "reply",
        ("tests/fast/reflection/test_journal.py::test_no_call_is_made_that_might_pass_the_ceiling",),
    ),
    Mutation(
        "g", "a scorer that fails leaves the rollout unscored", "policy/policy.py",
        'return Verdict.unscored(f"{who} raised {fault}")', "return Verdict(0.0, fault)",
        ("tests/policy/test_policy.py::test_a_scorer_that_raises_leaves_its_rollout_unscored_and_the_others_alone",),
    ),
    Mutation(
        "h, secrets", "a key that a server echoes is blotted out", "fast/reflection/endpoint.py",
        'return text.replace(self._key, "***") if self._key_env else text', "return text",
        ("tests/faults/test_secrets.py::test_a_key_is_in_nothing_that_a_run_leaves[reply]",),
    ),
    Mutation(
        "i, hostile", "chat markup in a rollout is broken up", "fast/proposers/reflection.py",
        'text = text.replace(markup, f"{markup[0]} {markup[1:]}")', "pass",
        ("tests/fast/proposers/test_reflection.py::test_quoted_text_carries_no_control_characters_and_no_chat_markup",),
    ),
    Mutation(
        "i, hostile", "the marker of a fence occurs in no quoted text", "fast/proposers/reflection.py",
        "in everything:", "in everything and False:",
        ("tests/fast/proposers/test_reflection.py::test_a_marker_that_occurs_in_a_rollout_is_drawn_again",),
    ),
    Mutation(
        "i, hostile", "the report escapes what it shows", "report/pages/safe.py",
        "autoescape=True", "autoescape=False",
        ("tests/report/test_page.py::test_hostile_texts_make_no_element",),
    ),
    Mutation(
        "c, corruption", "the files of a bundle are compared before they are loaded", "bundles/bundle.py",
        "    verified_files(folder)\n", "",
        (
            "tests/bundles/test_digest.py::"
            "test_every_command_that_takes_a_bundle_refuses_a_damaged_one_in_one_line",
        ),
    ),
    Mutation(
        "g", "three replies in a row without an edit end the phase", "fast/proposers/reflection.py",
        "if self._unreadable >= UNREADABLE:", "if False:",
        (
            "tests/fast/test_phase.py::"
            "test_a_model_that_misses_the_form_ends_the_phase_after_three_replies_each_of_which_is_counted_and_paid",
        ),
    ),
    Mutation(
        "signals", "a signal ends the run after the step", "slow/hooks.py",
        "control.should_training_stop = control.should_save = True", "pass",
        ("tests/faults/test_kills.py::test_a_signal_saves_the_step_it_came_in_and_the_run_goes_on_later[15-143]",),
    ),
    Mutation(
        "signals", "a second signal stops at once", "run/signals.py",
        "signal.signal(own, signal.SIG_IGN if own == signal.SIGHUP else handler)", "pass",
        ("tests/faults/test_kills.py::test_a_second_signal_stops_at_once_and_the_run_goes_on_later",),
    ),
    Mutation(
        "signals", "a signal ends a fast phase and an evaluation at once", "policy/policy.py",
        "if self._stops():", "if False:", (f"{STOPS}[sparse-fast_at-2-2]",),
    ),
    Mutation(
        "signals", "the state before a fast phase is held", "run/trainer.py",
        "self.checkpointing.hold()", "pass", (f"{STOPS}[sparse-fast_at-2-2]",),
    ),
    Mutation(
        "signals", "an evaluation that was ended is made again", "run/trainer.py",
        "None if folder is None else self.checkpointing.evaluation_due", "None if folder is None else False",
        (f"{STOPS}[fst-eval-1-2]",),
    ),
    Mutation(
        "disk", "what was half written is removed where the disk fails", "files/sealed.py",
        'for entry in self.run.glob("checkpoint-*.tmp"):', "for entry in ():",
        ("tests/faults/test_disk.py::test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line[sync-16-28]",),
    ),
    Mutation(
        "determinism", "seeds do not come from Python's string hashes", "core/seeding.py",
        'return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big") >> 1',
        "return hash(path) & (2**63 - 1)",
        ("tests/faults/test_determinism.py::test_a_run_is_the_same_under_another_hash_seed_and_with_loader_workers",),
    ),
    Mutation(
        "fuzz", "a journal line of another shape is refused by us", "fast/reflection/journal.py",
        "except (jsonl.BadLine, KeyError, TypeError) as error:",
        "except KeyError as error:",
        ("tests/faults/test_fuzz.py::test_any_journal_is_read_or_refused",),
    ),
    Mutation(
        "LM faults", "four tries, and no more", "fast/reflection/endpoint.py",
        "HTTP_RETRIES = 3", "HTTP_RETRIES = 4",
        ("tests/faults/test_lm_faults.py::test_a_fault_costs_exactly_what_it_must[rate limit-by_completing-for ever]",),
    ),
    Mutation(
        "LM faults", "a used-up quota is not asked again", "fast/reflection/endpoint.py",
        "if response.status_code == 402 or any(word in words for word in QUOTA_WORDS):", "if False:",
        ("tests/faults/test_lm_faults.py::test_a_fault_costs_exactly_what_it_must[no quota-by_completing-first]",),
    ),
    Mutation(
        "races", "the lock is exclusive", "files/locks.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("tests/files/test_locks.py::test_whoever_finds_a_run_in_use_is_told_by_whom_and_changes_nothing",),
    ),
    Mutation(
        "soak", "a file that was synced is closed", "files/atomic.py",
        "os.close(descriptor)", "pass",
        ("tests/faults/test_soak.py::test_sixty_steps_open_nothing_that_stays_open",),
    ),
    Mutation(
        "routing", "a group that cannot tell text from luck teaches no split", "routers/group.py",
        "return Spread(total, between=None, within=None, best_within=None)",
        "return Spread(total, between=total, within=0.0, best_within=0.0)",
        ("tests/routers/test_rules.py::test_groups_that_cannot_tell_text_from_luck_teach_nothing",),
    ),
    Mutation(
        "routing", "two groups of one step are no progress", "routers/learned.py",
        'before["step"] == evidence.step', "False",
        ("tests/routers/test_rules.py::test_a_group_that_comes_twice_in_a_step_shows_no_progress",),
    ),
    Mutation(
        "routing", "a state that a checkpoint would change is refused", "routers/decide.py",
        "checked_state(self.router)", "self.router.state_dict()",
        ("tests/routers/test_routers.py::test_a_state_that_a_checkpoint_would_change_is_named_at_once_and_in_a_run",),
    ),
    Mutation(
        "routing", "probes of other weights are refused", "experiments/probe/results.py",
        "if about != self._about:", "if False:",
        ("tests/experiments/test_probe.py::test_probes_of_another_plan_or_other_weights_are_refused",),
    ),
    Mutation(
        "routing", "a probe is asked by the run's own topics", "experiments/probe/prober.py",
        "topic=self._topics.of(example))", "topic=example.task)",
        ("tests/experiments/test_probe.py::test_rules_are_asked_by_what_the_run_knew_an_example_by",),
    ),
    Mutation(
        "streams", "retention is judged by what is shipped", "run/trainer.py",
        "judge(step, measurements, self.shipped_context)", 'judge(step, measurements, "lead")',
        ("tests/topics/test_archive.py::test_retention_is_judged_by_the_context_that_is_shipped",),
    ),
    Mutation(
        "streams", "clusters have an end", "topics/clusters.py",
        "if len(self._windows) >= MOST:", "if False:",
        ("tests/topics/test_clusters.py::test_what_falls_apart_without_an_end_stops_at_the_most_clusters",),
    ),
    Mutation(
        "steering",
        "what goes on after a rollback is measured",
        "run/trainer.py",
        "if self._judge(step, measurements):",
        "if self._judge(step, measurements) and False:",
        ("tests/slow/test_steering.py::test_what_ships_after_a_fall_is_what_its_numbers_are_of",),
    ),
]  # fmt: skip
